/* SPDX-License-Identifier: MIT
 *
 * Each rank describes itself; rank 0 prints the machine once and the ranks one by one.
 */
#include "info.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "advice.h"
#include "openblas.h"
#include "text.h"

/* What a rank tells of itself, sent as bytes. */
typedef struct rank_report {
    char host[64];
    char binding[RINGMOE_MACHINE_TEXT];
    int threads;
    advice advice;
} rank_report;

static const char *thread_level_name(int level)
{
    switch (level) {
    case MPI_THREAD_SINGLE:
        return "single";
    case MPI_THREAD_FUNNELED:
        return "funneled";
    case MPI_THREAD_SERIALIZED:
        return "serialized";
    case MPI_THREAD_MULTIPLE:
        return "multiple";
    }
    return "unknown";
}

/* The first line of what the MPI library says of itself, with single blanks. */
static void mpi_name(char name[MPI_MAX_LIBRARY_VERSION_STRING])
{
    int length;
    MPI_Get_library_version(name, &length);
    name[strcspn(name, "\n")] = '\0';
    char *out = name;
    for (const char *in = name; *in; in++) {
        char here = *in == '\t' ? ' ' : *in;
        if (here == ' ' && out > name && out[-1] == ' ') continue;
        *out++ = here;
    }
    *out = '\0';
}

static void describe_blas(const ringmoe_machine *machine, char *text, size_t size)
{
    const char *before = openblas_repaired_from();
    if (before)
        snprintf(text, size, "%s (repaired: %s -> %s)", machine->blas_kernel, before,
                 machine->blas_kernel);
    else
        snprintf(text, size, "%s", machine->blas_kernel);
}

static void print_machine(const tool_session *session, const ringmoe_machine *machine)
{
    char mpi[MPI_MAX_LIBRARY_VERSION_STRING], blas[2 * RINGMOE_MACHINE_TEXT + 32];
    mpi_name(mpi);
    describe_blas(machine, blas, sizeof blas);
    printf("ringmoe   %s\n", ringmoe_version());
    printf("cpu       %s, %d cores, %d hardware threads\n", machine->cpu_name, machine->n_cores,
           machine->n_cpus);
    printf("features  %s\n", machine->features);
    printf("kernels   %s in use, of %s\n", ringmoe_context_kernel_level(session->context),
           machine->kernel_levels);
    printf("caches    L2 %s, L3 %s\n", text_bytes((double)machine->l2_bytes).text,
           text_bytes((double)machine->l3_bytes).text);
    printf("memory    %s, %s free\n", text_bytes((double)machine->memory_bytes).text,
           text_bytes((double)machine->memory_free_bytes).text);
    printf("openblas  %s\n          %s\n", blas, machine->blas);
    printf("mpi       %s, threads: %s\n", mpi, thread_level_name(session->thread_level));
}

static void print_ranks(const rank_report *reports, int count)
{
    for (int i = 0; i < count; i++)
        printf("%s rank %d on %s: %d thread%s on cpus %s\n", i ? "         " : "ranks    ", i,
               reports[i].host, reports[i].threads, reports[i].threads > 1 ? "s" : "",
               reports[i].binding);
}

/* Advice that several ranks share is told once. */
static bool was_told(const rank_report *reports, int rank, const char *line)
{
    for (int i = 0; i < rank; i++)
        for (int j = 0; j < reports[i].advice.count; j++)
            if (strcmp(reports[i].advice.lines[j], line) == 0) return true;
    return false;
}

static json_t *collect_warnings(const rank_report *reports, int count)
{
    json_t *warnings = json_array();
    for (int i = 0; i < count; i++)
        for (int j = 0; j < reports[i].advice.count; j++)
            if (!was_told(reports, i, reports[i].advice.lines[j]))
                json_array_append_new(warnings, json_string(reports[i].advice.lines[j]));
    return warnings;
}

static void print_text(const tool_session *session, const ringmoe_machine *machine,
                       const rank_report *reports)
{
    json_t *warnings = collect_warnings(reports, session->size);
    print_machine(session, machine);
    print_ranks(reports, session->size);
    for (size_t i = 0; i < json_array_size(warnings); i++)
        printf("warning   %s\n", json_string_value(json_array_get(warnings, i)));
    json_decref(warnings);
}

static json_t *ranks_to_json(const rank_report *reports, int count)
{
    json_t *ranks = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(ranks,
                              json_pack("{s:s, s:i, s:s}", "host", reports[i].host, "threads",
                                        reports[i].threads, "cpus", reports[i].binding));
    return ranks;
}

static int print_json(const tool_session *session, const ringmoe_machine *machine,
                      const rank_report *reports)
{
    char mpi[MPI_MAX_LIBRARY_VERSION_STRING];
    const char *before = openblas_repaired_from();
    mpi_name(mpi);
    json_t *object = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:i, s:i, s:I, s:I, s:s, s:s, s:o, s:s, s:s, s:s, s:o, s:o}",
        "version", ringmoe_version(), "cpu", machine->cpu_name, "features", machine->features,
        "kernels", ringmoe_context_kernel_level(session->context), "kernel_levels",
        machine->kernel_levels, "cores", machine->n_cores, "cpus", machine->n_cpus,
        "memory_bytes", (json_int_t)machine->memory_bytes, "memory_free_bytes",
        (json_int_t)machine->memory_free_bytes, "openblas", machine->blas, "openblas_kernel",
        machine->blas_kernel, "openblas_repaired_from",
        before ? json_string(before) : json_null(), "openblas_suggested",
        machine->blas_suggested, "mpi", mpi, "mpi_threads",
        thread_level_name(session->thread_level), "ranks",
        ranks_to_json(reports, session->size), "warnings",
        collect_warnings(reports, session->size));
    return session_print_json(session, object);
}

int info_machine(tool_session *session, const info_options *options)
{
    ringmoe_machine machine;
    rank_report report = {.threads = ringmoe_context_threads(session->context)};
    rank_report *reports = calloc((size_t)session->size, sizeof report);
    int status = session_settle(session, reports ? EXIT_DONE : EXIT_FAILED,
                                "no memory for the ranks' reports");
    if (!status) {
        ringmoe_machine_describe(&machine);
        gethostname(report.host, sizeof report.host - 1);
        snprintf(report.binding, sizeof report.binding, "%s", machine.binding);
        advice_collect(session, &machine, &report.advice);
        session_must(session, MPI_Gather(&report, sizeof report, MPI_BYTE, reports,
                                         sizeof report, MPI_BYTE, 0, MPI_COMM_WORLD));
        if (session->rank == 0 && options->json)
            status = print_json(session, &machine, reports);
        else if (session->rank == 0)
            print_text(session, &machine, reports);
    }
    free(reports);
    return status;
}
