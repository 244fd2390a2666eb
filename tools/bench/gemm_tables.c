/* SPDX-License-Identifier: MIT
 *
 * What a terminal of 100 columns shows: the machine's limits, a table for each operation and
 * precision with the numbers of threads side by side, and verdicts.
 */
#include "gemm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

enum { MOST_BEHIND = 10 };
static const double notable_rise = 1.1;

static const char *const formulas[GEMM_OPERATIONS] = {"Y = X W^T", "dX = dY W", "dW = dY^T X"};

static void print_row_of(const gemm_run *run, const char *first, const char *second,
                         size_t offset, const char *unit)
{
    printf("  %-11s%-12s", first, second);
    for (int t = 0; t < run->plan.n_threads; t++)
        printf("%12.1f", *(const double *)((const char *)&run->ceilings[t] + offset));
    printf("  %s\n", unit);
}

static void print_ceilings(const gemm_run *run)
{
    const ringmoe_machine_ceilings *first = &run->ceilings[0];
    printf("\n  %-23s", "the machine's limits");
    for (int t = 0; t < run->plan.n_threads; t++)
        printf("%4lld thread%s", (long long)run->plan.threads[t],
               run->plan.threads[t] > 1 ? "s" : " ");
    printf("\n");
    for (int i = 0; i < first->n_levels; i++) {
        size_t level = offsetof(ringmoe_machine_ceilings, levels) +
                       (size_t)i * sizeof(ringmoe_machine_peak);
        const char *name = first->levels[i].level;
        print_row_of(run, name, "fp32", level + offsetof(ringmoe_machine_peak, fp32_gflops),
                     "GFLOP/s on registers alone");
        print_row_of(run, name, "bf16", level + offsetof(ringmoe_machine_peak, bf16_gflops),
                     "GFLOP/s");
        print_row_of(run, name, "q8", level + offsetof(ringmoe_machine_peak, q8_gflops),
                     "GFLOP/s");
        print_row_of(run, name, "q4", level + offsetof(ringmoe_machine_peak, q4_gflops),
                     "GFLOP/s");
    }
    print_row_of(run, "memory", "read", offsetof(ringmoe_machine_ceilings, read_gb_per_s),
                 "GB/s");
    print_row_of(run, "", "written", offsetof(ringmoe_machine_ceilings, write_gb_per_s),
                 "GB/s");
    print_row_of(run, "", "copied", offsetof(ringmoe_machine_ceilings, copy_gb_per_s),
                 "GB/s read and written");
    print_row_of(run, "OpenBLAS", "768 x 768", offsetof(ringmoe_machine_ceilings, blas_gflops),
                 "GFLOP/s, fp32");
}

static void print_legend(const gemm_plan *plan)
{
    const char *limit =
        plan->warm ? "the peak" : "the peak, or the weights' way from or to memory";
    if (plan->grouped)
        printf("\n  E/tokens  experts, and rows of all of them, which fall as 1, 1/2, 1/3 ..\n"
               "  roof      share of what the machine allows: %s\n"
               "  of one    our rate over that of one expert with the mean number of rows\n"
               "  loop      time of the best library, a call an expert, over ours\n",
               limit);
    else
        printf("\n  GB/s   weights read (dW: written)\n"
               "  roof   share of what the machine allows: %s\n"
               "  best   time of the best library over ours: above 1 we are faster\n",
               limit);
}

void gemm_print_head(const gemm_run *run)
{
    printf("ringmoe %s bench gemm\n", ringmoe_version());
    printf("  machine    %s, %d core%s, L3 %s\n", run->machine.cpu_name, run->machine.n_cores,
           run->machine.n_cores > 1 ? "s" : "", text_bytes((double)run->machine.l3_bytes).text);
    printf("  compared   ours (%s)", run->level);
    for (int i = 0; gemm_libraries[i]; i++) {
        char version[64];
        gemm_libraries[i]->version(version);
        printf(", %s (%s)", gemm_libraries[i]->name, version);
    }
    printf("\n  measured   best of up to %lld turns; %s\n", (long long)run->plan.repeat,
           run->plan.warm ? "weights warm, the same in every call"
                          : "weights cold, from memory, as in a model");
    print_ceilings(run);
    print_legend(&run->plan);
    fflush(stdout);
}

/* Columns of one number of threads; both cells have the width of the heads below. */
static void print_single_cell(const gemm_result *result)
{
    int best = gemm_best_library(result);
    const gemm_timing *library = &result->libraries[best];
    bool is_padded = strcmp(library->note, "padded") == 0;
    printf(" %8.1f %6.1f %4.0f %%  %5.2f %s%-*s", result->flops / result->ours.best * 1e-9,
           result->bytes / result->ours.best * 1e-9, 100 * gemm_share(result),
           gemm_ratio(result), gemm_libraries[best]->name,
           9 - (int)strlen(gemm_libraries[best]->name), is_padded ? "*" : "");
}

static void print_grouped_cell(const gemm_result *result)
{
    int best = gemm_best_library(result);
    const gemm_timing *library = &result->libraries[best];
    bool is_padded = strcmp(library->note, "padded") == 0;
    printf(" %7.1f %4.0f %% %5.0f %%  %5.2f %s%-*s", result->flops / result->ours.best * 1e-9,
           100 * gemm_share(result), 100 * gemm_grouped_share(result), gemm_ratio(result),
           gemm_libraries[best]->name, 9 - (int)strlen(gemm_libraries[best]->name),
           is_padded ? "*" : "");
}

static void print_table_head(const gemm_run *run, const gemm_result *result)
{
    bool is_grouped = run->plan.grouped;
    printf("\n%s%s, %s: %s%s\n", is_grouped ? "grouped " : "",
           gemm_operation_names[result->operation], gemm_precision_name((int)result->precision),
           formulas[result->operation],
           result->precision == RINGMOE_PRECISION_FP32 ? "" : "   (beside fp32 of OpenBLAS)");
    printf("  %11s %8s", "", "");
    for (int t = 0; t < run->plan.n_threads; t++) {
        char title[32];
        snprintf(title, sizeof title, "%lld thread%s", (long long)run->plan.threads[t],
                 run->plan.threads[t] > 1 ? "s" : "");
        printf(" %*s%-*s", 14 + (int)strlen(title) / 2, title, 24 - (int)strlen(title) / 2, "");
    }
    printf("\n  %-11s %8s", "in x out", is_grouped ? "E/tokens" : "rows");
    for (int t = 0; t < run->plan.n_threads; t++)
        printf("%s", is_grouped ? " GFLOP/s   roof of one  over a loop of"
                                : "  GFLOP/s   GB/s   roof   best library ");
    printf("\n");
}

/* The same product with another number of threads. */
static const gemm_result *same_with(const gemm_run *run, const gemm_result *result,
                                    int64_t threads)
{
    for (int i = 0; i < run->n_results; i++) {
        const gemm_result *other = &run->results[i];
        if (other->operation == result->operation && other->precision == result->precision &&
            other->n_threads == threads && other->rows == result->rows &&
            other->n_experts == result->n_experts &&
            memcmp(&other->shape, &result->shape, sizeof other->shape) == 0)
            return other;
    }
    return result;
}

static void print_lines(const gemm_run *run, int first)
{
    for (int i = first; i < run->n_results; i++) {
        const gemm_result *result = &run->results[i];
        char shape[32], rows[32];
        if (result->n_threads != run->plan.threads[0]) continue;
        snprintf(shape, sizeof shape, "%lldx%lld", (long long)result->shape.n_in,
                 (long long)result->shape.n_out);
        if (run->plan.grouped)
            snprintf(rows, sizeof rows, "%d/%lld", result->n_experts, (long long)result->rows);
        else
            snprintf(rows, sizeof rows, "%lld", (long long)result->rows);
        printf("  %-11s %8s", shape, rows);
        for (int t = 0; t < run->plan.n_threads; t++) {
            const gemm_result *cell = same_with(run, result, run->plan.threads[t]);
            if (run->plan.grouped)
                print_grouped_cell(cell);
            else
                print_single_cell(cell);
        }
        printf("\n");
    }
}

/* The least share of the roofline among results with low to high rows; 0: there are none. */
static double least_share(const gemm_run *run, int first, int64_t low, int64_t high)
{
    double least = 0;
    for (int i = first; i < run->n_results; i++) {
        int64_t rows = run->results[i].rows / run->results[i].n_experts;
        double share = gemm_share(&run->results[i]);
        if (rows >= low && rows <= high && (least == 0 || share < least)) least = share;
    }
    return least;
}

static void print_least_shares(const gemm_run *run, int first)
{
    static const struct {
        int64_t low, high;
        const char *name;
    } classes[] = {{1, 16, "up to 16 rows"}, {17, 255, "up to 255"}, {256, INT64_MAX, "more"}};
    const char *between = "at least";
    for (int i = 0; i < 3; i++) {
        double least = least_share(run, first, classes[i].low, classes[i].high);
        if (least == 0) continue;
        printf("%s %.0f %% with %s", between, 100 * least, classes[i].name);
        between = ",";
    }
}

static void print_table_verdict(const gemm_run *run, int first)
{
    double least = gemm_ratio(&run->results[first]), most = least;
    int n_ahead = 0, n = run->n_results - first;
    bool is_padded = false;
    for (int i = first; i < run->n_results; i++) {
        double ratio = gemm_ratio(&run->results[i]);
        const gemm_timing *best = run->results[i].libraries;
        least = fmin(least, ratio);
        most = fmax(most, ratio);
        n_ahead += ratio >= 1;
        is_padded =
            is_padded || strcmp(best[gemm_best_library(&run->results[i])].note, "padded") == 0;
    }
    if (is_padded) printf("  * rows padded to a multiple of %d\n", GEMM_ROW_BLOCK);
    printf("  -> %.2f to %.2f times the best library%s, ahead in %d of %d\n", least, most,
           run->plan.grouped ? " in a loop" : "", n_ahead, n);
    printf("  -> of the roofline ");
    print_least_shares(run, first);
    printf("\n");
}

void gemm_print_table(const gemm_run *run, int first)
{
    if (first == run->n_results) return;
    print_table_head(run, &run->results[first]);
    print_lines(run, first);
    print_table_verdict(run, first);
    fflush(stdout);
}

static int compare_ratios(const void *a, const void *b)
{
    double left = gemm_ratio(a), right = gemm_ratio(b);
    return (left > right) - (left < right);
}

static void print_behind(const gemm_result *result)
{
    int best = gemm_best_library(result);
    printf("  %.2f of %s: %s %s %lldx%lld, ", gemm_ratio(result), gemm_libraries[best]->name,
           gemm_operation_names[result->operation], gemm_precision_name((int)result->precision),
           (long long)result->shape.n_in, (long long)result->shape.n_out);
    if (result->n_experts > 1) printf("%d experts, ", result->n_experts);
    printf("%lld row%s, %d thread%s\n", (long long)result->rows, result->rows > 1 ? "s" : "",
           result->n_threads, result->n_threads > 1 ? "s" : "");
}

/* By how much the limits turned out higher than they were at the start. */
static double greatest_rise(const gemm_run *run)
{
    double rise = 1;
    for (int t = 0; t < run->plan.n_threads; t++) {
        const ringmoe_machine_ceilings *now = &run->ceilings[t],
                                       *then = &run->first_ceilings[t];
        rise = fmax(rise, now->read_gb_per_s / then->read_gb_per_s);
        rise = fmax(rise, now->write_gb_per_s / then->write_gb_per_s);
        for (int i = 0; i < now->n_levels; i++) {
            rise = fmax(rise, now->levels[i].fp32_gflops / then->levels[i].fp32_gflops);
            rise = fmax(rise, now->levels[i].bf16_gflops / then->levels[i].bf16_gflops);
        }
    }
    return rise;
}

/* Sorts a copy: the worst come first. */
void gemm_print_verdict(const gemm_run *run)
{
    size_t bytes = (size_t)run->n_results * sizeof(gemm_result);
    gemm_result *sorted = malloc(bytes ? bytes : 1);
    int n_behind = 0;
    if (!sorted) return;
    memcpy(sorted, run->results, bytes);
    qsort(sorted, (size_t)run->n_results, sizeof *sorted, compare_ratios);
    while (n_behind < run->n_results && gemm_ratio(&sorted[n_behind]) < 1) n_behind++;
    printf("\nahead of the best library in %d of %d products, in %s\n",
           run->n_results - n_behind, run->n_results, text_duration(run->seconds).text);
    if (n_behind > 0) printf("behind in:\n");
    for (int i = 0; i < n_behind && i < MOST_BEHIND; i++) print_behind(&sorted[i]);
    if (n_behind > MOST_BEHIND)
        printf("  and %d more; --json tells all\n", n_behind - MOST_BEHIND);
    if (greatest_rise(run) > notable_rise)
        printf("the machine's limits rose by up to %.0f %% during the run: other programs were "
               "busy;\nshares of the first tables are too high, those of --json are not\n",
               100 * (greatest_rise(run) - 1));
    if (!run->plan.grouped)
        printf("next: --grouped, all experts of a layer in one call, their rows as uneven as "
               "a router's\n");
    free(sorted);
}
