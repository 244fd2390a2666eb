/* SPDX-License-Identifier: MIT
 *
 * `ringmoe bench exchange`. With experts that compute next to nothing, a pass takes as long as
 * its exchange: what it takes longer than the same rows take on a rank alone is set against the
 * bare MPI_Alltoallv. With experts of real size, the same difference with and without overlap
 * tells how much of the exchange is hidden. All subjects in turns; medians, of differences
 * those of each turn.
 */
#include "exchange.h"

#include <math.h>
#include <stdlib.h>

#include "json_text.h"
#include "text.h"

#define ROW(member, ...) OPTION_ROW(exchange_options, member, __VA_ARGS__)

static const option_row rows[] = {
    ROW(d_model, INTEGER, "d-model", "N", "features of a token", .low = 1, .high = 65536),
    ROW(d_ff, INTEGER, "d-ff", "N", "inner size of an expert, for the overlap", .low = 1,
        .high = 1 << 20),
    ROW(n_experts, INTEGER, "experts", "N", "of the layer; a multiple of the ranks", .low = 1,
        .high = 65536),
    ROW(top_k, INTEGER, "top-k", "K", "experts a token goes to", .low = 1, .high = 65536),
    ROW(tokens, INTEGER, "tokens", "N", "on each rank", .low = 1, .high = 1 << 24),
    ROW(repeat, INTEGER, "repeat", "N", "turns to time, after one that is not", .low = 1,
        .high = BENCH_MAX_REPEAT),
    ROW(placement.precision, CHOICE, "precision", "fp32|bf16", "operands of the products"),
    ROW(placement.threads, INTEGER, "threads", "N", "threads of a rank", .high = 4096,
        .otherwise = "this node's cpus shared out"),
    ROW(two_level, FLAG, "two-level", NULL, "also with a message for each node, not each rank"),
    WATCHDOG_ROW(exchange_options),
    ROW(json, FLAG, "json", NULL, "the result as JSON"),
};

static const option_set set = {
    .usage = "mpiexec -n RANKS ringmoe bench exchange [options]",
    .summary =
        "Moving tokens to the experts of all ranks and back, beside a bare MPI_Alltoallv of\n"
        "the bytes that the messages carry: as the ranks lie, through the node's shared\n"
        "memory, and by messages alone. Then experts of real size: what of the exchange is\n"
        "hidden behind their work.",
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
};

/* The subjects, in the order of their turns; the last ones only if asked for. */
enum {
    LIGHT_ALONE,
    LIGHT_NODE,
    LIGHT_MESSAGES,
    ALONE,
    NODE,
    MESSAGES,
    MESSAGES_BARE,
    LIGHT_TWO_LEVEL,
    TWO_LEVEL,
    N_WAYS
};

static const exchange_way ways[N_WAYS] = {
    [LIGHT_ALONE] = {.name = "light_alone", .is_alone = true, .is_light = true},
    [LIGHT_NODE] = {.name = "light_node", .is_light = true},
    [LIGHT_MESSAGES] = {.name = "light_messages",
                        .exchange = RINGMOE_EXCHANGE_MESSAGES,
                        .is_light = true},
    [ALONE] = {.name = "alone", .is_alone = true},
    [NODE] = {.name = "node"},
    [MESSAGES] = {.name = "messages",
                  .exchange = RINGMOE_EXCHANGE_MESSAGES,
                  .overlap = RINGMOE_OVERLAP_ON},
    [MESSAGES_BARE] = {.name = "messages_without_overlap",
                       .exchange = RINGMOE_EXCHANGE_MESSAGES,
                       .overlap = RINGMOE_OVERLAP_OFF},
    [LIGHT_TWO_LEVEL] = {.name = "light_two_level",
                         .exchange = RINGMOE_EXCHANGE_TWO_LEVEL,
                         .is_light = true},
    [TWO_LEVEL] = {.name = "two_level", .exchange = RINGMOE_EXCHANGE_TWO_LEVEL},
};

static int count_ways(const exchange_options *options)
{
    return options->two_level ? N_WAYS : LIGHT_TWO_LEVEL;
}

typedef struct exchange_bench {
    exchange_layer layers[N_WAYS];
    exchange_bare bare;
} exchange_bench;

/* The baseline moves what a pass by messages has been seen to move: a token once to each rank,
 * and the sum of what its experts there made of it back. */
static int open_bench(tool_session *session, const exchange_options *options,
                      exchange_bench *bench)
{
    exchange_layer *counted = &bench->layers[LIGHT_MESSAGES];
    int status = EXIT_DONE;
    for (int i = 0; !status && i < count_ways(options); i++)
        status = exchange_layer_open(session, options, &ways[i], &bench->layers[i]);
    if (!status) status = exchange_layer_run(session, options, counted, false);
    if (status) return status;
    double bytes = counted->bytes_within_node + counted->bytes_between_nodes;
    return exchange_bare_open(session, bytes, &bench->bare);
}

static int run_turns(tool_session *session, const exchange_options *options,
                     exchange_bench *bench)
{
    int status = EXIT_DONE;
    for (int64_t turn = -1; !status && turn < options->repeat; turn++) {
        status = exchange_bare_run(session, &bench->bare, turn >= 0);
        for (int i = 0; !status && i < count_ways(options); i++)
            status = exchange_layer_run(session, options, &bench->layers[i], turn >= 0);
    }
    return status;
}

/* An exchange that takes less than this part of a pass is lost in its noise. */
static const double least_exposed = 0.02;

/* What is printed: milliseconds of a pass, and ratios. */
typedef struct exchange_figures {
    double bare_ms, node_ms, messages_ms;                /* of the exchange alone */
    double node_ratio, messages_ratio;                   /* rate over the bare one's; NaN */
    double choices;                                      /* rows of choices over rows moved */
    double alone_ms, whole_node_ms, with_ms, without_ms; /* with experts of real size */
    double hidden;                                       /* share of the exchange by messages */
} exchange_figures;

static double median_of(const exchange_bench *bench, int way)
{
    return bench_median(&bench->layers[way].ms);
}

/* What a pass takes longer than the alone one of the same turn, which the machine's other work
 * disturbs about as much. */
static double median_beyond(const exchange_bench *bench, int way, int alone)
{
    const bench_samples *passes = &bench->layers[way].ms, *base = &bench->layers[alone].ms;
    bench_samples beyond = {.count = 0};
    for (int i = 0; i < passes->count; i++)
        bench_add(&beyond, passes->values[i] - base->values[i]);
    return bench_median(&beyond);
}

/* A difference may come out as nothing, which has no rate. */
static double ratio_of(double bare_ms, double ms)
{
    return ms > 0 ? bare_ms / ms : NAN;
}

/* What leaves a rank and comes back under an even load if each choice has a row of its own. */
static double choice_bytes(const tool_session *session, const exchange_options *options)
{
    double choices = (double)(options->tokens * options->top_k) * (session->size - 1);
    return 2 * choices / session->size * (double)options->d_model * sizeof(ringmoe_real);
}

static exchange_figures work_out(const tool_session *session, const exchange_options *options,
                                 const exchange_bench *bench)
{
    exchange_figures f = {
        .bare_ms = bench_median(&bench->bare.ms),
        .node_ms = median_beyond(bench, LIGHT_NODE, LIGHT_ALONE),
        .messages_ms = median_beyond(bench, LIGHT_MESSAGES, LIGHT_ALONE),
        .alone_ms = median_of(bench, ALONE),
        .whole_node_ms = median_of(bench, NODE),
        .with_ms = median_of(bench, MESSAGES),
        .without_ms = median_of(bench, MESSAGES_BARE),
    };
    f.node_ratio = ratio_of(f.bare_ms, f.node_ms);
    f.messages_ratio = ratio_of(f.bare_ms, f.messages_ms);
    f.choices = choice_bytes(session, options) / bench->bare.bytes;
    double exposed = median_beyond(bench, MESSAGES_BARE, ALONE);
    bool can_tell = exposed > least_exposed * f.alone_ms;
    f.hidden = can_tell ? 1 - median_beyond(bench, MESSAGES, ALONE) / exposed : NAN;
    return f;
}

static double gb_per_s(const exchange_bench *bench, double ms)
{
    return ms > 0 ? bench->bare.bytes / ms * 1e-6 : NAN;
}

static void print_line(const exchange_bench *bench, const char *name, double ms, double ratio)
{
    printf("  %-34s ", name);
    if (!(ms > 0)) {
        printf("too short to tell from its pass\n");
        return;
    }
    printf("%8.3f ms  %6.2f GB/s", ms, gb_per_s(bench, ms));
    if (ratio > 0) printf("  %5.2f times the bare rate", ratio);
    putchar('\n');
}

static void print_two_level(const exchange_bench *bench)
{
    double ms = median_beyond(bench, LIGHT_TWO_LEVEL, LIGHT_ALONE);
    print_line(bench, "as they lie, in two levels", ms, 0);
    printf("  %s of rows between nodes, where one level has %s\n",
           text_bytes(bench->layers[LIGHT_TWO_LEVEL].bytes_between_nodes).text,
           text_bytes(bench->layers[LIGHT_NODE].bytes_between_nodes).text);
}

static void print_text(const tool_session *session, const exchange_options *options,
                       const exchange_bench *bench, const exchange_figures *f)
{
    printf("%d ranks, %lld tokens of %lld features each, top-%lld of %lld experts, medians of "
           "%lld\n\ndispatch and combine, a rank's share\n",
           session->size, (long long)options->tokens, (long long)options->d_model,
           (long long)options->top_k, (long long)options->n_experts,
           (long long)options->repeat);
    print_line(bench, "bare MPI_Alltoallv, there and back", f->bare_ms, 0);
    print_line(bench,
               session->n_nodes > 1 ? "as the ranks lie, on their nodes"
                                    : "within the node, shared memory",
               f->node_ms, f->node_ratio);
    print_line(bench, "by messages alone", f->messages_ms, f->messages_ratio);
    if (options->two_level) print_two_level(bench);
    printf(
        "  %s there and back in all of these, tokens once for each rank; a row for each\n"
        "  choice would be %s: in such rows, %.2f times these rates\n"
        "  bare: two blocking calls on the same ranks, its counts known and its rows in "
        "place;\n"
        "  the others' times are passes with counts, packing, sums, without what they take on\n"
        "  a rank alone\n",
        text_bytes(bench->bare.bytes).text, text_bytes(choice_bytes(session, options)).text,
        f->choices);
    printf("\na pass with experts of %lld\n", (long long)options->d_ff);
    printf("  nothing travels          %8.3f ms\n", f->alone_ms);
    printf("  as the ranks lie         %8.3f ms\n", f->whole_node_ms);
    printf("  by messages, overlapped  %8.3f ms\n", f->with_ms);
    printf("  by messages, one by one  %8.3f ms\n", f->without_ms);
    if (options->two_level)
        printf("  in two levels            %8.3f ms\n", median_of(bench, TWO_LEVEL));
    printf("  overlapped / one by one  %8.3f; ", f->with_ms / f->without_ms);
    if (isnan(f->hidden))
        printf("too little exchange to tell what is hidden\n");
    else
        printf("%.0f %% of the exchange is hidden\n", 100 * f->hidden);
}

static int print_json(const tool_session *session, const exchange_options *options,
                      const exchange_bench *bench, const exchange_figures *f)
{
    const struct {
        const char *name;
        double value;
    } figures[] = {
        {"bare_bytes", bench->bare.bytes},
        {"choice_bytes_over_bare", f->choices},
        {"bare_ms", f->bare_ms},
        {"bare_gb_per_s", gb_per_s(bench, f->bare_ms)},
        {"node_ms", f->node_ms},
        {"node_over_bare", f->node_ratio},
        {"messages_ms", f->messages_ms},
        {"messages_over_bare", f->messages_ratio},
        {"pass_alone_ms", f->alone_ms},
        {"pass_node_ms", f->whole_node_ms},
        {"pass_overlapped_ms", f->with_ms},
        {"pass_not_overlapped_ms", f->without_ms},
        {"overlapped_over_not", f->with_ms / f->without_ms},
        {"hidden", f->hidden},
    };
    json_t *object = json_object(), *layers = json_object();
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++)
        json_object_set_new(object, figures[i].name, json_number(figures[i].value));
    for (int i = 0; i < count_ways(options); i++) {
        const exchange_layer *layer = &bench->layers[i];
        json_t *row =
            json_pack("{s:o, s:o, s:o, s:o}", "ms", json_number(bench_median(&layer->ms)),
                      "exchange_ms", json_number(bench_median(&layer->exchange_ms)),
                      "bytes_within_node", json_number(layer->bytes_within_node),
                      "bytes_between_nodes", json_number(layer->bytes_between_nodes));
        json_object_set_new(layers, ways[i].name, row);
    }
    json_object_set_new(object, "layers", layers);
    return session_print_json(session, object);
}

/* A rank alone has a share of the experts, and a token needs k of them. */
static int check_options(const tool_session *session, const exchange_options *options)
{
    int n_ranks = session->size;
    if (n_ranks < 2)
        return session_fail(session, EXIT_USAGE,
                            "one rank exchanges nothing: start several with mpiexec -n");
    if (options->n_experts % n_ranks == 0 && options->n_experts / n_ranks >= options->top_k)
        return EXIT_DONE;
    return session_fail(
        session, EXIT_USAGE, "--experts %lld: give a multiple of the %d ranks, at least %lld",
        (long long)options->n_experts, n_ranks, (long long)options->top_k * n_ranks);
}

static int run_bench(tool_session *session, const exchange_options *options,
                     exchange_bench *bench)
{
    int status = session_open(session, &options->placement);
    if (!status) status = open_bench(session, options, bench);
    if (!status) status = run_turns(session, options, bench);
    if (status || session->rank != 0) return status;
    exchange_figures figures = work_out(session, options, bench);
    if (options->json) return print_json(session, options, bench, &figures);
    print_text(session, options, bench, &figures);
    return EXIT_DONE;
}

int bench_exchange(tool_session *session, int argc, char **argv)
{
    exchange_options options = {PLACEMENT_DEFAULT, .d_model = 512,
                                .d_ff = 1024,      .n_experts = 4 * (int64_t)session->size,
                                .top_k = 2,        .tokens = 2048,
                                .repeat = 9};
    option_result given;
    int status;
    if (!session_parse(session, &set, argc, argv, &options, &given, &status)) return status;
    status = check_options(session, &options);
    if (status) return status;
    exchange_bench *bench = calloc(1, sizeof *bench);
    status = session_settle(session, bench ? EXIT_DONE : EXIT_FAILED, "no memory");
    if (!status) status = run_bench(session, &options, bench);
    for (int i = 0; bench && i < N_WAYS; i++) exchange_layer_close(&bench->layers[i]);
    if (bench) exchange_bare_close(&bench->bare);
    free(bench);
    return status;
}
