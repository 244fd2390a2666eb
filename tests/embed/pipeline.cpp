// SPDX-License-Identifier: MIT
//
// A C++ host that pipelines stages of its own, which know nothing of transformers: stage s
// multiplies a row by its weight s + 2, and every schedule must give each weight the gradient
// that is worked out on paper here. The exit status is the same on every rank.
#include <ringmoe.h>

#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

namespace
{

constexpr int n_elements = 5;
constexpr int n_microbatches = 6;

double weight_of(int stage)
{
    return stage + 2;
}

// What one rank has: its chunks' weight gradients and, of microbatches on their way, rows.
struct Host {
    int n_stages;
    std::vector<double> gradients;                              // by chunk
    std::vector<std::vector<std::vector<ringmoe_real>>> d_kept; // by chunk and slot
    double loss = 0;
};

// The row that enters the first stage.
ringmoe_real first_row(int microbatch)
{
    return ringmoe_real(microbatch + 1);
}

void forward(Host &host, const ringmoe_stage_call &call)
{
    for (int i = 0; i < n_elements; i++) {
        ringmoe_real x = call.input ? call.input[i] : first_row(call.microbatch);
        ringmoe_real y = ringmoe_real(weight_of(call.stage)) * x;
        if (call.output)
            call.output[i] = y;
        else
            host.loss += y;
    }
}

// The loss is the sum of the last stage's row, so its gradient is 1 everywhere.
void backward_input(Host &host, const ringmoe_stage_call &call)
{
    auto &kept = host.d_kept[call.chunk][call.slot];
    for (int i = 0; i < n_elements; i++) {
        kept[i] = call.d_output ? call.d_output[i] : 1;
        if (call.d_input) call.d_input[i] = ringmoe_real(weight_of(call.stage)) * kept[i];
    }
}

void backward_weight(Host &host, const ringmoe_stage_call &call)
{
    const auto &kept = host.d_kept[call.chunk][call.slot];
    for (int i = 0; i < n_elements; i++)
        host.gradients[call.chunk] +=
            double(kept[i]) * (call.input ? call.input[i] : first_row(call.microbatch));
}

// Called by the library, which is C: nothing may be thrown through it.
extern "C" ringmoe_status stage(void *user, const ringmoe_stage_call *call) noexcept
{
    Host &host = *static_cast<Host *>(user);
    switch (call->operation) {
    case RINGMOE_STAGE_FORWARD:
        forward(host, *call);
        break;
    case RINGMOE_STAGE_BACKWARD:
        backward_input(host, *call);
        backward_weight(host, *call);
        break;
    case RINGMOE_STAGE_BACKWARD_INPUT:
        backward_input(host, *call);
        break;
    case RINGMOE_STAGE_BACKWARD_WEIGHT:
        backward_weight(host, *call);
        break;
    }
    return RINGMOE_OK;
}

// The product of all weights, times the sum of all rows that enter.
double expected_loss(int n_stages)
{
    double product = n_elements * n_microbatches * (n_microbatches + 1) / 2.0;
    for (int s = 0; s < n_stages; s++) product *= weight_of(s);
    return product;
}

std::string check(const Host &host, int rank, int n_ranks)
{
    double loss = expected_loss(host.n_stages);
    for (size_t chunk = 0; chunk < host.gradients.size(); chunk++) {
        double wanted = loss / weight_of(int(chunk) * n_ranks + rank);
        if (host.gradients[chunk] != wanted) return "a gradient is not what it is on paper";
    }
    if (rank == n_ranks - 1 && host.loss != loss) return "the loss is not what it is on paper";
    return "";
}

std::string run_schedule(ringmoe_context *context, ringmoe_mesh *mesh, const char *name,
                         int n_chunks)
{
    ringmoe_schedule *schedule = nullptr;
    ringmoe_pipeline *pipeline = nullptr;
    int rank = ringmoe_context_rank(context), n_ranks = ringmoe_context_size(context);
    if (ringmoe_schedule_create(context, name, n_ranks, n_microbatches, n_chunks, &schedule))
        return ringmoe_context_error(context);
    Host host;
    host.n_stages = n_ranks * n_chunks;
    host.gradients.assign(n_chunks, 0);
    for (int chunk = 0; chunk < n_chunks; chunk++)
        host.d_kept.emplace_back(ringmoe_schedule_slots(schedule, rank, chunk),
                                 std::vector<ringmoe_real>(n_elements));
    std::string trouble;
    ringmoe_pipeline_times times;
    if (ringmoe_pipeline_create(mesh, schedule, n_elements, &pipeline) ||
        ringmoe_pipeline_run(pipeline, 1, stage, &host, &times))
        trouble = ringmoe_context_error(context);
    else
        trouble = check(host, rank, n_ranks);
    if (trouble.empty() && !(times.total >= times.stages))
        trouble = "the stages took longer than the whole";
    ringmoe_pipeline_destroy(&pipeline);
    ringmoe_schedule_destroy(&schedule);
    return trouble.empty() ? trouble : std::string(name) + ": " + trouble;
}

std::string run(MPI_Comm communicator)
{
    ringmoe_context *context = nullptr;
    ringmoe_mesh *mesh = nullptr;
    if (ringmoe_context_create(communicator, nullptr, &context)) return "no context";
    ringmoe_mesh_dims dims = {};
    dims.pipeline = ringmoe_context_size(context);
    std::string trouble;
    if (ringmoe_mesh_create(context, &dims, 0, &mesh)) trouble = ringmoe_context_error(context);
    for (const char *name : {"gpipe", "1f1b", "interleaved", "zb-h1"})
        for (int n_chunks : {1, 2})
            if (trouble.empty()) trouble = run_schedule(context, mesh, name, n_chunks);
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
    std::string trouble = run(MPI_COMM_WORLD);
    if (!trouble.empty()) std::fprintf(stderr, "rank %d: %s\n", rank, trouble.c_str());
    int failed = !trouble.empty();
    MPI_Allreduce(MPI_IN_PLACE, &failed, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    MPI_Finalize();
    return failed;
}
