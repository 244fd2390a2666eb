/* SPDX-License-Identifier: MIT
 *
 * Ranks that tokenize together get the ids that one makes alone: of a large file, of many small
 * ones, of lines, of less text than ranks; a failure of one is everyone's.
 */
#include <ringmoe.h>

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "text/tokenizer.h"

enum { PATH_BYTES = 256, LARGE_LINES = 40000, N_SMALL = 9, N_WIDE = 70000 };

static int rank, size;
static char folder[PATH_BYTES / 2];
static ringmoe_context *context;

static const char *path_of(const char *name)
{
    static char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%.80s", folder, name);
    return path;
}

/* Rank 0's; the others wait. */
static void write_texts(void)
{
    char name[64];
    FILE *out;
    if (rank == 0) {
        CHECK(mkdir(path_of("small"), 0700) == 0);
        out = fopen(path_of("large.txt"), "w");
        for (int i = 0; i < LARGE_LINES; i++)
            fprintf(out, "line %d of the th\xc3\xa9me, and then %d\n\n", i, i * 7919);
        CHECK(fclose(out) == 0);
        out = fopen(path_of("lines.jsonl"), "w");
        for (int i = 0; i < LARGE_LINES; i++) fprintf(out, "{\"text\": \"the line %d\"}\n", i);
        fprintf(out, "{\"other\": 1}\n");
        CHECK(fclose(out) == 0);
        for (int i = 0; i < N_SMALL; i++) {
            snprintf(name, sizeof name, "small/%d.txt", i);
            out = fopen(path_of(name), "w");
            for (int k = 0; k < i * i; k++) fprintf(out, "then %d the\n", k);
            CHECK(fclose(out) == 0);
        }
        out = fopen(path_of("tiny.txt"), "w");
        fprintf(out, "x");
        CHECK(fclose(out) == 0);
        out = fopen(path_of("other.txt"), "w");
        fprintf(out, "y");
        CHECK(fclose(out) == 0);
        out = fopen(path_of("nothing.txt"), "w");
        CHECK(fclose(out) == 0);
    }
    MPI_Barrier(MPI_COMM_WORLD);
}

static void remove_texts(void)
{
    static const char *const names[] = {"large.txt", "lines.jsonl", "tiny.txt", "other.txt",
                                        "nothing.txt"};
    char name[64];
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank != 0) return;
    for (int i = 0; i < 5; i++) CHECK(unlink(path_of(names[i])) == 0);
    for (int i = 0; i < N_SMALL; i++) {
        snprintf(name, sizeof name, "small/%d.txt", i);
        CHECK(unlink(path_of(name)) == 0);
    }
    CHECK(rmdir(path_of("small")) == 0 && rmdir(folder) == 0);
}

/* Bytes and two merges or one; with `n` ids of 32 bits if they are many, the bytes' the last
 * ones. */
static ringmoe_tokenizer *tokenizer_of(int n, int n_merges)
{
    static char spellings[N_WIDE][12];
    static const char *tokens[N_WIDE], *const merges[] = {"t h", "th e"};
    ringmoe_tokenizer_parts parts;
    ringmoe_tokenizer *made = NULL;
    for (int i = 0; i < n; i++) {
        int byte = i - (n - 258);
        snprintf(spellings[i], sizeof spellings[i], "unused%d", i);
        if (byte >= 0 && byte < 256)
            spellings[i][rm_byte_level_encode((unsigned char)byte, spellings[i])] = '\0';
        tokens[i] = spellings[i];
    }
    tokens[n - 2] = "th";
    tokens[n - 1] = "the";
    ringmoe_tokenizer_parts_default(&parts);
    parts.kind = RINGMOE_TOKENIZER_BYTES;
    parts.pattern = "gpt-2";
    parts.n_tokens = n;
    parts.tokens = tokens;
    parts.n_merges = n_merges;
    parts.merges = merges;
    CHECK_STATUS(ringmoe_tokenizer_create(context, &parts, &made), RINGMOE_OK,
                 ringmoe_context_error(context));
    return made;
}

static void compare(const ringmoe_tokenizer *tokenizer, const char *name,
                    const ringmoe_tokenize_settings *settings)
{
    ringmoe_tokens *alone = NULL, *together = NULL;
    ringmoe_tokenize_result wanted, result;
    char hash[17] = "", wanted_hash[17] = "";
    const char *path = path_of(name);
    CHECK_STATUS(ringmoe_tokens_encode(context, tokenizer, &path, 1, settings, &alone, &wanted),
                 RINGMOE_OK, ringmoe_context_error(context));
    CHECK_STATUS(ringmoe_tokens_encode_together(context, tokenizer, &path, 1, settings,
                                                &together, &result),
                 RINGMOE_OK, ringmoe_context_error(context));
    if (alone) ringmoe_tokens_hash(alone, wanted_hash);
    if (together) ringmoe_tokens_hash(together, hash);
    if (strcmp(hash, wanted_hash) != 0) check_report("the same ids", __FILE__, __LINE__, name);
    CHECK(result.documents == wanted.documents && result.tokens == wanted.tokens &&
          result.bytes == wanted.bytes);
    ringmoe_tokens_destroy(&alone);
    ringmoe_tokens_destroy(&together);
}

static void test_same_ids(void)
{
    static const char *const names[] = {"large.txt", "small", "tiny.txt"};
    static const int sizes[] = {258, N_WIDE};
    ringmoe_tokenize_settings settings;
    ringmoe_tokenize_settings_default(&settings);
    for (int i = 0; i < 2; i++) {
        ringmoe_tokenizer *tokenizer = tokenizer_of(sizes[i], 2);
        for (int k = 0; k < 3; k++) {
            settings.end = -1;
            settings.documents = RINGMOE_DOCUMENTS_FILES;
            compare(tokenizer, names[k], &settings);
            settings.end = 5;
            settings.documents = RINGMOE_DOCUMENTS_LINES;
            compare(tokenizer, names[k], &settings);
        }
        ringmoe_tokenizer_destroy(&tokenizer);
    }
}

/* The status of all ranks, whose message has a part. */
static void refused(const ringmoe_tokenizer *tokenizer, const char *name,
                    const ringmoe_tokenize_settings *settings, ringmoe_status wanted,
                    const char *part)
{
    ringmoe_tokens *tokens = NULL;
    const char *path = path_of(name);
    CHECK_STATUS(
        ringmoe_tokens_encode_together(context, tokenizer, &path, 1, settings, &tokens, NULL),
        wanted, ringmoe_context_error(context));
    if (!strstr(ringmoe_context_error(context), part))
        check_report(part, __FILE__, __LINE__, ringmoe_context_error(context));
    CHECK(tokens == NULL);
    ringmoe_tokens_destroy(&tokens);
}

static void test_failures(void)
{
    ringmoe_tokenizer *tokenizer = tokenizer_of(258, 2);
    ringmoe_tokenize_settings settings;
    ringmoe_tokenize_settings_default(&settings);
    refused(tokenizer, "nothing.txt", &settings, RINGMOE_ERROR_FORMAT, "no text to tokenize");
    refused(tokenizer, "missing.txt", &settings, RINGMOE_ERROR_FILE, "missing.txt");
    settings.documents = RINGMOE_DOCUMENTS_JSON_LINES;
    refused(tokenizer, "lines.jsonl", &settings, RINGMOE_ERROR_FORMAT, "line 40001: no text");
    settings.documents = RINGMOE_DOCUMENTS_FILES;
    if (size > 1) {
        settings.end = rank == size - 1 ? 7 : -1;
        refused(tokenizer, "large.txt", &settings, RINGMOE_ERROR_MISMATCH, " gave 7 where ");
        settings.end = rank == size - 1 ? 1 << 20 : -1;
        refused(tokenizer, "large.txt", &settings, RINGMOE_ERROR_ARGUMENT, "1048576");
    }
    ringmoe_tokenizer_destroy(&tokenizer);
}

/* Texts and tokenizers of one size that are not the same on one rank. */
static void test_differences(void)
{
    bool is_last = rank == size - 1;
    ringmoe_tokenizer *same = tokenizer_of(258, 2), *other = tokenizer_of(258, is_last ? 1 : 2);
    ringmoe_tokenize_settings settings;
    ringmoe_tokenize_settings_default(&settings);
    refused(same, is_last ? "other.txt" : "tiny.txt", &settings, RINGMOE_ERROR_MISMATCH,
            "hash of the texts");
    refused(other, "large.txt", &settings, RINGMOE_ERROR_MISMATCH, "hash of the tokenizer");
    ringmoe_tokenizer_destroy(&same);
    ringmoe_tokenizer_destroy(&other);
}

int main(int argc, char **argv)
{
    ringmoe_context_settings settings;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%.90s/ringmoe-tokens-XXXXXX", base ? base : "/tmp");
    if (rank == 0) CHECK(mkdtemp(folder) != NULL);
    MPI_Bcast(folder, sizeof folder, MPI_CHAR, 0, MPI_COMM_WORLD);
    ringmoe_context_settings_default(&settings);
    settings.n_threads = 1;
    CHECK(ringmoe_context_create(MPI_COMM_WORLD, &settings, &context) == RINGMOE_OK);
    write_texts();
    test_same_ids();
    test_failures();
    if (size > 1) test_differences();
    remove_texts();
    ringmoe_context_destroy(&context);
    return check_finish("tokens_together");
}
