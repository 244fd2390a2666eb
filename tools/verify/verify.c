/* SPDX-License-Identifier: MIT
 *
 * `ringmoe verify`: what to run first on a new machine. Each layout against one rank, then one
 * verdict, which is this command's result and stands on stdout, good or bad.
 */
#include "verify.h"

#include <stdlib.h>

#include "command.h"
#include "json_text.h"
#include "source.h"

typedef struct verify_options {
    tool_placement placement; /* of which threads and precision are options here */
    const char *layouts, *model;
    int64_t steps;
    int reproducible, json;
} verify_options;

#define ROW(member, ...) OPTION_ROW(verify_options, member, __VA_ARGS__)

static const option_row rows[] = {
    ROW(layouts, TEXT, "layouts", "LIST", "as in pp2xdp2,ep4:zb-h1",
        .otherwise = "all that fit"),
    ROW(model, TEXT, "model", "NAME", "tiny, small, base, config.json or folder",
        .otherwise = "a small one built in"),
    ROW(steps, INTEGER, "steps", "N", "of training in each layout", .low = 1, .high = 1000),
    ROW(placement.precision, CHOICE, "precision", "fp32|bf16", "operands of the products"),
    ROW(placement.threads, INTEGER, "threads", "N", "threads of a rank", .high = 4096,
        .otherwise = "this node's cpus shared out"),
    WATCHDOG_ROW(verify_options),
    ROW(reproducible, FLAG, "reproducible", NULL,
        "all layouts so: the bits of tensor ranks too must be those of one"),
    ROW(json, FLAG, "json", NULL, "the result as JSON"),
};

static const option_set set = {
    .usage = "mpiexec -n RANKS ringmoe verify [options]",
    .summary =
        "Trains a small model on one rank and then in each layout of the ranks it has, and\n"
        "compares losses, norms, and every gradient and weight to the last bit; checks the\n"
        "gradient against the loss by finite differences. Ends with one verdict; status 0 "
        "only\n"
        "if all is well.\n\n"
        "A layout is its axes joined by x (pp2xdp2, ep4, serial), then, behind colons, what\n"
        "is not as usual: a schedule, selective, full, reproducible, shadow (copies of hot\n"
        "experts), chunks2, threads2, nodes2 (as if on so many nodes: tokens then travel by\n"
        "messages between them).\n"
        "Tensor ranks without reproducible are compared within a tolerance. To see how a\n"
        "difference looks, give one layout another seed: --layouts ep2:seed1.",
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
};

/* The command's state on every rank; records and outcomes are rank 0's. */
typedef struct verify_job {
    tool_session *session;
    const verify_options *options;
    verify_work work;
    verify_layouts layouts;
    verify_record references[2]; /* plain, reproducible; made when first needed */
    bool has_reference[2];
    verify_gradient gradient;
    int n_well, n_close;     /* layouts as they should be; of these within the tolerance */
    char first[VERIFY_NAME]; /* layout that is not; "" */
    json_t *rows;            /* with --json */
} verify_job;

static int open_work(verify_job *job)
{
    const verify_options *options = job->options;
    verify_work *work = &job->work;
    verify_work_default(job->session->size, work);
    work->train.steps = options->steps;
    work->model = options->model;
    return options->model ? source_config(job->session, options->model, &work->config)
                          : EXIT_DONE;
}

static int open_layouts(verify_job *job)
{
    char text[256];
    verify_layouts *layouts = &job->layouts;
    if (!job->options->layouts)
        verify_layouts_default(job->session->size, &job->work, job->options->reproducible,
                               layouts);
    else if (!verify_layouts_parse(job->options->layouts, layouts, text, sizeof text))
        return session_fail(job->session, EXIT_USAGE, "%s", text);
    for (int i = 0; i < layouts->count; i++) {
        char name[VERIFY_NAME];
        int ranks = verify_layout_ranks(&layouts->rows[i]);
        if (job->options->reproducible) layouts->rows[i].reproducible = 1;
        verify_layout_name(&layouts->rows[i], name);
        if (ranks > job->session->size)
            return session_fail(job->session, EXIT_USAGE,
                                "--layouts %s: has %d ranks, and there are %d: start more with "
                                "mpiexec -n or srun -n",
                                name, ranks, job->session->size);
    }
    return EXIT_DONE;
}

/* One rank with one thread, as plain as can be. */
static int open_reference(verify_job *job, int reproducible)
{
    const verify_layout plain = {
        .dims = {1, 1, 1, 1}, .chunks = 1, .threads = 1, .reproducible = reproducible};
    verify_record *record = &job->references[reproducible];
    if (job->has_reference[reproducible]) return EXIT_DONE;
    job->has_reference[reproducible] = true;
    verify_run(job->session, &job->options->placement, &job->work, &plain, NULL, record);
    if (record->status == RINGMOE_OK) return EXIT_DONE;
    return session_fail(job->session, EXIT_FAILED, "one rank alone: %s", record->text);
}

static json_t *row_to_json(const char *name, const verify_record *record,
                           const verify_outcome *outcome)
{
    bool ran = record->status == RINGMOE_OK;
    json_t *row = json_pack("{s:s, s:b, s:o}", "layout", name, "well", verify_is_well(outcome),
                            "seconds", json_number(record->seconds));
    json_object_set_new(row, "failure", ran ? json_null() : json_string(record->text));
    json_object_set_new(row, "losses", json_string(verify_match_word(outcome->losses)));
    json_object_set_new(row, "gradients", json_string(verify_match_word(outcome->gradients)));
    json_object_set_new(row, "norms", json_string(verify_match_word(outcome->norms)));
    json_object_set_new(row, "weights", json_string(verify_match_word(outcome->weights)));
    json_object_set_new(row, "first_difference",
                        outcome->first[0] ? json_string(outcome->first) : json_null());
    return row;
}

/* Rank 0's judgement of one layout. */
static void judge(verify_job *job, const verify_layout *layout, const verify_record *record)
{
    char name[VERIFY_NAME];
    verify_outcome outcome = {.losses = VERIFY_DIFFER,
                              .norms = VERIFY_DIFFER,
                              .gradients = VERIFY_DIFFER,
                              .weights = VERIFY_DIFFER};
    bool may_be_close = layout->dims.tensor > 1 && !layout->reproducible;
    verify_layout_name(layout, name);
    if (record->status == RINGMOE_OK)
        verify_compare(&job->references[layout->reproducible], record, may_be_close,
                       (ringmoe_precision)job->options->placement.precision, &outcome);
    bool is_well = verify_is_well(&outcome);
    job->n_well += is_well;
    job->n_close += is_well && may_be_close;
    if (!is_well && !job->first[0]) snprintf(job->first, sizeof job->first, "%s", name);
    if (job->rows)
        json_array_append_new(job->rows, row_to_json(name, record, &outcome));
    else
        verify_print_row(layout, record, &outcome);
}

static int run_layout(verify_job *job, const verify_layout *layout)
{
    verify_record record;
    int status = open_reference(job, layout->reproducible);
    if (status) return status;
    verify_run(job->session, &job->options->placement, &job->work, layout, NULL, &record);
    if (job->session->rank == 0) judge(job, layout, &record);
    verify_record_free(&record);
    return EXIT_DONE;
}

/* In fp32, whose losses are fine enough to be subtracted; and with every token sent to every
 * expert, since a token that changes its experts on the way makes the loss jump, and nothing
 * cut to a limit, which makes it bend. */
static int check_gradient(verify_job *job)
{
    verify_work work = job->work;
    const verify_layout plain = {.dims = {1, 1, 1, 1}, .chunks = 1, .threads = 1};
    tool_placement placement = job->options->placement;
    verify_record record;
    placement.precision = RINGMOE_PRECISION_FP32;
    work.config.num_experts_per_tok = work.config.num_local_experts;
    work.config.capacity_factor = 0;
    work.config.clip_qkv = 0;
    verify_run(job->session, &placement, &work, &plain, &job->gradient, &record);
    session_share(job->session, &job->gradient, sizeof job->gradient);
    if (record.status == RINGMOE_OK) return EXIT_DONE;
    return session_fail(job->session, EXIT_FAILED, "finite differences: %s", record.text);
}

static void write_verdict(const verify_job *job, char *text, size_t size)
{
    int count = job->layouts.count;
    size_t used = 0;
    text[0] = '\0';
#define ADD(...) used += (size_t)snprintf(text + used, size - used, __VA_ARGS__)
    if (job->n_well < count)
        ADD("NOT WELL: %d of %d layouts differ from one rank, first %s", count - job->n_well,
            count, job->first);
    else
        ADD("all well: %d layout%s give%s the bits of one rank", count - job->n_close,
            count - job->n_close == 1 ? "" : "s", count - job->n_close == 1 ? "s" : "");
    if (job->n_close && job->n_well == count)
        ADD(", %d with tensor ranks %s within the tolerance", job->n_close,
            job->n_close == 1 ? "is" : "are");
    if (job->gradient.n_wrong)
        ADD("%s%d of %d derivatives are not the loss's, worst %s",
            job->n_well < count ? "; " : "; NOT WELL: ", job->gradient.n_wrong,
            job->gradient.n_checked, job->gradient.name);
#undef ADD
}

static json_t *result_to_json(verify_job *job, const char *verdict, bool is_well)
{
    const verify_gradient *gradient = &job->gradient;
    json_t *differences = json_pack("{s:i, s:i, s:o, s:s}", "checked", gradient->n_checked,
                                    "wrong", gradient->n_wrong, "largest_error",
                                    json_number(gradient->worst), "at", gradient->name);
    return json_pack("{s:s, s:b, s:i, s:O, s:i, s:o}", "verdict", verdict, "well", is_well,
                     "ranks", job->session->size, "layouts", job->rows, "left_out",
                     job->layouts.n_unfit + job->layouts.n_beyond, "finite_differences",
                     differences);
}

/* Every rank ends with rank 0's verdict. */
static int conclude(verify_job *job)
{
    char verdict[512];
    int is_well = job->n_well == job->layouts.count && job->gradient.n_wrong == 0;
    session_share(job->session, &is_well, sizeof is_well);
    if (job->session->rank == 0) {
        write_verdict(job, verdict, sizeof verdict);
        if (job->rows) {
            int status =
                session_print_json(job->session, result_to_json(job, verdict, is_well));
            if (status) return status;
        } else {
            verify_print_left_out(&job->layouts);
            verify_print_gradient(&job->gradient);
            printf("\nverdict  %s\n", verdict);
        }
    }
    return is_well ? EXIT_DONE : EXIT_FAILED;
}

static int run_job(verify_job *job)
{
    int status = session_open(job->session, &job->options->placement);
    if (!status) status = open_work(job);
    if (!status) status = open_layouts(job);
    if (!status && job->session->rank == 0 && !job->rows)
        verify_print_header(job->session, &job->work);
    for (int i = 0; !status && i < job->layouts.count; i++)
        status = run_layout(job, &job->layouts.rows[i]);
    if (!status) status = check_gradient(job);
    return status ? status : conclude(job);
}

int command_verify(tool_session *session, int argc, char **argv)
{
    verify_options options = {PLACEMENT_DEFAULT, .steps = 3};
    option_result given;
    int status;
    if (!session_parse(session, &set, argc, argv, &options, &given, &status)) return status;
    verify_job *job = calloc(1, sizeof *job);
    status = session_settle(session, job ? EXIT_DONE : EXIT_FAILED, "no memory");
    if (status) {
        free(job);
        return status;
    }
    *job = (verify_job){.session = session,
                        .options = &options,
                        .rows = options.json && session->rank == 0 ? json_array() : NULL};
    status = run_job(job);
    for (int i = 0; i < 2; i++) verify_record_free(&job->references[i]);
    json_decref(job->rows);
    free(job);
    return status;
}
