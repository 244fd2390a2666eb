/* SPDX-License-Identifier: MIT
 *
 * Only rank 0 has an input and reads files; the others get tokens.
 */
#include "generate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PROMPT = 1 << 20 };

/* Reads a prompt file; false with `text` set. */
static bool read_file(const char *path, char *bytes, int64_t *count, char *text, size_t size)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    if (file) *count = (int64_t)fread(bytes, 1, MAX_PROMPT + 1, file);
    bool is_read = file && !ferror(file);
    int problem = errno;
    if (file && file != stdin) fclose(file);
    if (!is_read)
        snprintf(text, size, "--prompt-file %s: cannot read it: %s", path, strerror(problem));
    else if (*count == 0)
        snprintf(text, size, "--prompt-file %s: is empty: give at least one byte", path);
    else if (*count > MAX_PROMPT)
        snprintf(text, size, "--prompt-file %s: is longer than %d bytes: give a shorter one",
                 path, MAX_PROMPT);
    return *text == '\0';
}

/* The text of prompt `index`: those of --prompt, then the files. */
static bool find_text(const generate_options *options, int index, char *bytes, int64_t *count,
                      char *text, size_t size)
{
    if (index >= options->prompts.n && options->prompt_files.n > 0)
        return read_file(options->prompt_files.texts[index - options->prompts.n], bytes, count,
                         text, size);
    const char *prompt = options->prompts.n ? options->prompts.texts[index] : "\n";
    *count = (int64_t)strnlen(prompt, MAX_PROMPT);
    memcpy(bytes, prompt, (size_t)*count);
    return true;
}

/* Returns an exit status. */
static int make_prompt(tool_session *session, const generate_options *options,
                       const generate_words *words, int vocab_size, int index,
                       ringmoe_prompt *prompt, char *text, size_t size)
{
    int32_t *tokens = NULL;
    int64_t count = 0;
    char *bytes = malloc(MAX_PROMPT + 2);
    if (!bytes) {
        snprintf(text, size, "no memory for the prompt");
        return EXIT_FAILED;
    }
    int status = EXIT_FAILED;
    if (find_text(options, index, bytes, &count, text, size)) {
        bytes[count] = '\0';
        bool made = words_encode(words, options, session->context, vocab_size, bytes, count,
                                 &tokens, &prompt->n_tokens, text, size);
        status = made ? EXIT_DONE : EXIT_USAGE;
    }
    free(bytes);
    prompt->tokens = tokens;
    return status;
}

/* Rank 0's prompt on every rank. */
static int share_prompt(tool_session *session, ringmoe_prompt *prompt)
{
    session_share(session, &prompt->n_tokens, sizeof prompt->n_tokens);
    int bytes = (int)(prompt->n_tokens * (int64_t)sizeof *prompt->tokens);
    int32_t *tokens =
        session->rank == 0 ? (int32_t *)prompt->tokens : malloc((size_t)bytes + 1);
    prompt->tokens = tokens;
    int status = session_settle(session, tokens ? EXIT_DONE : EXIT_FAILED,
                                "no memory for the prompt: give a shorter one");
    if (!status) session_share(session, tokens, bytes);
    return status;
}

int prompts_read(tool_session *session, const generate_options *options,
                 const generate_words *words, int vocab_size, generate_prompts *prompts)
{
    int n = options->prompts.n + options->prompt_files.n;
    *prompts = (generate_prompts){.n = n > 0 ? n : 1};
    prompts->prompts = calloc((size_t)prompts->n, sizeof *prompts->prompts);
    int status = session_settle(session, prompts->prompts ? EXIT_DONE : EXIT_FAILED,
                                "no memory for the prompts: give fewer");
    for (int i = 0; i < prompts->n && !status; i++) {
        char text[1024] = "";
        if (session->rank == 0)
            status = make_prompt(session, options, words, vocab_size, i, &prompts->prompts[i],
                                 text, sizeof text);
        status = session_settle(session, status, text);
        if (!status) status = share_prompt(session, &prompts->prompts[i]);
    }
    return status;
}

int prompts_fit(tool_session *session, generate_options *options,
                const generate_prompts *prompts, int64_t positions)
{
    int64_t *wanted = &options->sampling.max_new_tokens;
    for (int i = 0; i < prompts->n; i++) {
        int64_t n = prompts->prompts[i].n_tokens, room = positions - n;
        if (room < 1)
            return session_fail(session, EXIT_USAGE,
                                "prompt %d has %lld tokens, and the model only %lld positions "
                                "(max_position_embeddings): give a shorter one",
                                i + 1, (long long)n, (long long)positions);
        if (*wanted > room && (options->has_length || prompts->n > 1))
            return session_fail(session, EXIT_USAGE,
                                "--max-new %lld: prompt %d has %lld tokens and the model %lld "
                                "positions (max_position_embeddings): give at most %lld",
                                (long long)*wanted, i + 1, (long long)n, (long long)positions,
                                (long long)room);
        if (*wanted > room) *wanted = room;
    }
    return EXIT_DONE;
}

void prompts_free(generate_prompts *prompts)
{
    for (int i = 0; prompts->prompts && i < prompts->n; i++)
        free((int32_t *)prompts->prompts[i].tokens);
    free(prompts->prompts);
}
