/* SPDX-License-Identifier: MIT
 *
 * The same as JSON, with everything that was measured.
 */
#include "gemm.h"

#include "json_text.h"

static json_t *levels_to_json(const ringmoe_machine_ceilings *ceilings)
{
    json_t *levels = json_array();
    for (int i = 0; i < ceilings->n_levels; i++) {
        const ringmoe_machine_peak *peak = &ceilings->levels[i];
        json_array_append_new(levels,
                              json_pack("{s:s, s:o, s:o, s:o, s:o}", "level", peak->level,
                                        "fp32_gflops", json_number(peak->fp32_gflops),
                                        "bf16_gflops", json_number(peak->bf16_gflops),
                                        "q8_gflops", json_number(peak->q8_gflops), "q4_gflops",
                                        json_number(peak->q4_gflops)));
    }
    return levels;
}

static json_t *ceilings_to_json(const gemm_run *run)
{
    json_t *all = json_array();
    for (int t = 0; t < run->plan.n_threads; t++) {
        const ringmoe_machine_ceilings *c = &run->ceilings[t];
        json_array_append_new(
            all, json_pack("{s:i, s:o, s:o, s:o, s:o, s:o}", "threads", c->n_threads,
                           "read_gb_per_s", json_number(c->read_gb_per_s), "write_gb_per_s",
                           json_number(c->write_gb_per_s), "copy_gb_per_s",
                           json_number(c->copy_gb_per_s), "blas_gflops",
                           json_number(c->blas_gflops), "levels", levels_to_json(c)));
    }
    return all;
}

static json_t *timing_to_json(const gemm_timing *timing, double flops, double bytes)
{
    if (timing->best == 0) return json_null();
    return json_pack("{s:o, s:o, s:o, s:o, s:s}", "seconds", json_number(timing->best),
                     "median_seconds", json_number(timing->median), "gflops",
                     json_number(flops / timing->best * 1e-9), "gb_per_s",
                     json_number(bytes / timing->best * 1e-9), "note", timing->note);
}

static json_t *result_to_json(const gemm_result *r)
{
    json_t *object = json_pack(
        "{s:s, s:s, s:I, s:I, s:i, s:i, s:I, s:I, s:i, s:o, s:o, s:o, s:o, s:o, s:s, s:o}",
        "operation", gemm_operation_names[r->operation], "precision",
        gemm_precision_name((int)r->precision), "n_in", (json_int_t)r->shape.n_in, "n_out",
        (json_int_t)r->shape.n_out, "threads", r->n_threads, "experts", r->n_experts, "rows",
        (json_int_t)r->rows, "most_rows", (json_int_t)r->most_rows, "weight_sets", r->n_sets,
        "flops", json_number(r->flops), "weight_bytes", json_number(r->bytes),
        "roofline_gflops", json_number(r->flops / r->roof * 1e-9), "share_of_roofline",
        json_number(gemm_share(r)), gemm_ours.key, timing_to_json(&r->ours, r->flops, r->bytes),
        "best_library", gemm_libraries[gemm_best_library(r)]->key, "over_best_library",
        json_number(gemm_ratio(r)));
    for (int i = 0; gemm_libraries[i]; i++)
        json_object_set_new(object, gemm_libraries[i]->key,
                            timing_to_json(&r->libraries[i], r->flops, r->bytes));
    if (r->single_rows) {
        double share = (double)r->single_rows / (double)r->rows;
        json_object_set_new(object, "one_expert_rows", json_integer(r->single_rows));
        json_object_set_new(
            object, "one_expert",
            timing_to_json(&r->single, r->flops * share, r->bytes / r->n_experts));
        json_object_set_new(object, "over_one_expert", json_number(gemm_grouped_share(r)));
    }
    return object;
}

static json_t *libraries_to_json(void)
{
    json_t *libraries = json_object();
    for (int i = 0; gemm_libraries[i]; i++) {
        char version[64];
        gemm_libraries[i]->version(version);
        json_object_set_new(libraries, gemm_libraries[i]->key, json_string(version));
    }
    return libraries;
}

json_t *gemm_to_json(const gemm_run *run)
{
    json_t *products = json_array();
    for (int i = 0; i < run->n_results; i++)
        json_array_append_new(products, result_to_json(&run->results[i]));
    return json_pack(
        "{s:s, s:s, s:i, s:s, s:o, s:b, s:b, s:I, s:o, s:o, s:o}", "version", ringmoe_version(),
        "cpu", run->machine.cpu_name, "cores", run->machine.n_cores, "kernels", run->level,
        "libraries", libraries_to_json(), "grouped", run->plan.grouped, "warm", run->plan.warm,
        "repeat", (json_int_t)run->plan.repeat, "seconds", json_number(run->seconds),
        "ceilings", ceilings_to_json(run), "products", products);
}
