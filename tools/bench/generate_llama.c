/* SPDX-License-Identifier: MIT
 *
 * llama.cpp's llama-bench on the same GGUF file, with as many threads, a turn of it after each
 * of ours. It is started as a program of its own; its answer is JSON.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "generate.h"

extern char **environ;

/* Starts it with its output in a pipe; -1 if it cannot be started. */
static pid_t start(const generate_bench *bench, int *output)
{
    const generate_bench_options *options = bench->options;
    char n_prompt[24], n_new[24], n_threads[24];
    int ends[2];
    pid_t child = -1;
    posix_spawn_file_actions_t actions;
    if (pipe(ends) != 0) return -1;
    snprintf(n_prompt, sizeof n_prompt, "%lld", (long long)options->n_prompt);
    snprintf(n_new, sizeof n_new, "%lld", (long long)options->n_new);
    snprintf(n_threads, sizeof n_threads, "%d",
             ringmoe_context_threads(bench->session->context));
    const char *arguments[] = {options->llama_bench,
                               "-m",
                               bench->path,
                               "-t",
                               n_threads,
                               "-p",
                               n_prompt,
                               "-n",
                               n_new,
                               "-r",
                               "1",
                               "-o",
                               "json",
                               NULL};
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    int problem =
        posix_spawnp(&child, arguments[0], &actions, NULL, (char **)arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    *output = ends[0];
    if (problem != 0) close(ends[0]);
    return problem == 0 ? child : -1;
}

/* "[{"n_prompt": 512, "n_gen": 0, "avg_ts": 187.1, ...}, {...}]": true if both are there. */
static bool take_answer(generate_bench *bench, const json_t *answer)
{
    double prompt = 0, token = 0;
    const json_t *test;
    size_t i;
    json_array_foreach(answer, i, test)
    {
        double rate = json_number_value(json_object_get(test, "avg_ts"));
        if (json_integer_value(json_object_get(test, "n_gen")) > 0)
            token = rate;
        else
            prompt = rate;
    }
    if (prompt <= 0 || token <= 0) return false;
    bench_add(&bench->llama_prompt, prompt);
    bench_add(&bench->llama_token, token);
    return true;
}

/* Waits for its end in any case, whatever it prints. */
static bool run(generate_bench *bench)
{
    int output, ended = 0;
    char rest[4096];
    pid_t child = start(bench, &output);
    if (child < 0) return false;
    FILE *stream = fdopen(output, "r");
    json_t *answer = stream ? json_loadf(stream, 0, NULL) : NULL;
    while (stream && fread(rest, 1, sizeof rest, stream) > 0) {
    }
    if (stream)
        fclose(stream);
    else
        close(output);
    pid_t waited;
    do {
        waited = waitpid(child, &ended, 0);
    } while (waited < 0 && errno == EINTR);
    bool fine = waited == child && WIFEXITED(ended) && WEXITSTATUS(ended) == 0 &&
                take_answer(bench, answer);
    json_decref(answer);
    return fine;
}

int generate_bench_llama(generate_bench *bench)
{
    if (run(bench)) return EXIT_DONE;
    return session_fail(bench->session, EXIT_FAILED,
                        "--llama-bench %.300s: does not answer as llama.cpp's llama-bench does "
                        "with -m %.300s -o json: try that by hand",
                        bench->options->llama_bench, bench->path);
}
