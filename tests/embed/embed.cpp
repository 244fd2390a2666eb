// SPDX-License-Identifier: MIT
//
// A C++ host of the shared library: one step of an MoE layer on a communicator of its own, with
// nothing but the public headers. The exit status is the same on every rank.
#include <ringmoe.h>

#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

namespace
{

constexpr int d_model = 8;
constexpr int n_tokens = 5;

// Throws away nothing: the first failed call ends the step with the library's own words.
std::string step(ringmoe_context *context, ringmoe_moe *layer)
{
    std::vector<ringmoe_real> x(n_tokens * d_model), y(x.size()), d_y(x.size(), 1),
        d_x(x.size());
    for (size_t i = 0; i < x.size(); i++) x[i] = ringmoe_real(std::sin(double(i)));
    ringmoe_moe_stats stats;
    if (ringmoe_moe_forward(layer, n_tokens, x.data(), 1, y.data(), &stats) ||
        ringmoe_moe_backward(layer, d_y.data(), 1, d_x.data()) ||
        ringmoe_moe_reduce_gradients(layer))
        return ringmoe_context_error(context);
    double size_y = 0, size_d_x = 0, size_gradient = 0;
    for (size_t i = 0; i < x.size(); i++) {
        size_y += std::abs(double(y[i]));
        size_d_x += std::abs(double(d_x[i]));
    }
    for (int p = 0; p < ringmoe_moe_parameter_count(layer); p++) {
        ringmoe_parameter_view view;
        if (ringmoe_moe_parameter(layer, p, &view)) return ringmoe_context_error(context);
        std::int64_t n = view.shape[0] * (view.n_dims == 2 ? view.shape[1] : 1);
        for (std::int64_t i = 0; view.gradient && i < n; i++)
            size_gradient += std::abs(double(view.gradient[i]));
    }
    for (double size : {size_y, size_d_x, size_gradient})
        if (!std::isfinite(size) || size == 0) return "an output is all zeros or not finite";
    return stats.n_choices == 2 * n_tokens ? "" : "the layer miscounted its choices";
}

std::string run(MPI_Comm communicator)
{
    ringmoe_context_settings settings;
    ringmoe_context_settings_default(&settings);
    settings.n_threads = 1;
    ringmoe_context *context = nullptr;
    ringmoe_mesh *mesh = nullptr;
    ringmoe_moe *layer = nullptr;
    if (ringmoe_context_create(communicator, &settings, &context)) return "no context";

    ringmoe_moe_settings moe;
    ringmoe_moe_settings_default(&moe);
    moe.d_model = d_model;
    moe.d_ff = 12;
    moe.n_experts = 4;
    moe.max_tokens = n_tokens;
    std::string trouble;
    if (ringmoe_mesh_create(context, nullptr, moe.n_experts, &mesh) ||
        ringmoe_moe_create(mesh, &moe, &layer))
        trouble = ringmoe_context_error(context);
    else
        trouble = step(context, layer);
    ringmoe_moe_destroy(&layer);
    ringmoe_mesh_destroy(&mesh);
    ringmoe_context_destroy(&context);
    return trouble;
}

} // namespace

int main(int argc, char **argv)
{
    int provided, rank;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    std::string trouble;
    if (std::string(ringmoe_version()) != RINGMOE_VERSION)
        trouble = "headers and library differ";
    else
        trouble = run(MPI_COMM_WORLD);
    if (!trouble.empty()) std::fprintf(stderr, "rank %d: %s\n", rank, trouble.c_str());
    int failed = !trouble.empty();
    MPI_Allreduce(MPI_IN_PLACE, &failed, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    MPI_Finalize();
    return failed;
}
