/* SPDX-License-Identifier: MIT
 *
 * Texts as streams of ids: the same whatever the number of threads, the cuts and the layout of
 * the file; which layouts a name may have.
 */
#include "tokenizer_fixture.h"

#include "text/text_cuts.h"

/* --- streams
 * ---------------------------------------------------------------------------------- */

static void check_layout(const ringmoe_tokenizer *tokenizer, const char *text,
                         const ringmoe_tokens *wanted, ringmoe_token_format format)
{
    ringmoe_tokenize_settings settings;
    ringmoe_tokenize_result result;
    ringmoe_tokens *tokens;
    char hash[17], wanted_hash[17];
    const char *path = scratch_path("written.bin");
    ringmoe_tokenize_settings_default(&settings);
    settings.format = format;
    settings.end = 5;
    must(ringmoe_tokens_write(&context, tokenizer, &text, 1, &settings, path, &result));
    must(ringmoe_tokens_open(&context, path, RINGMOE_TOKENS_AUTO, 65536, &tokens));
    assert_int_equal(ringmoe_tokens_format(tokens), format);
    assert_int_equal(result.tokens, ringmoe_tokens_count(tokens));
    assert_int_equal(result.documents, 1);
    ringmoe_tokens_hash(tokens, hash);
    ringmoe_tokens_hash(wanted, wanted_hash);
    assert_string_equal(hash, wanted_hash);
    ringmoe_tokens_destroy(&tokens);
    unlink(path);
    unlink(scratch_path("written.idx"));
}

/* As one call gives them, with any number of threads and in each layout. */
static void threads_do_not_change_the_ids(void **state)
{
    const char *text = long_text();
    ringmoe_tokenizer *tokenizer = opened("gpt2");
    ringmoe_tokenize_settings settings;
    ringmoe_tokens *tokens;
    static char content[4 << 20];
    FILE *in = fopen(text, "r");
    int64_t bytes = (int64_t)fread(content, 1, sizeof content, in), n;
    fclose(in);
    int32_t *ids = malloc((size_t)bytes * sizeof *ids), id;
    must(ringmoe_tokenizer_encode(tokenizer, content, bytes, 0, ids, bytes, &n));
    ringmoe_tokenize_settings_default(&settings);
    settings.end = 5;
    for (context.compute.n_threads = 3; context.compute.n_threads > 0;
         context.compute.n_threads--) {
        must(ringmoe_tokens_encode(&context, tokenizer, &text, 1, &settings, &tokens, NULL));
        assert_int_equal(ringmoe_tokens_count(tokens), n + 1);
        for (int64_t i = 0; i < n; i++) {
            ringmoe_tokens_read(tokens, i, 1, &id);
            assert_int_equal(id, ids[i]);
        }
        if (context.compute.n_threads > 1) ringmoe_tokens_destroy(&tokens);
    }
    context.compute.n_threads = 2;
    check_layout(tokenizer, text, tokens, RINGMOE_TOKENS_U16);
    check_layout(tokenizer, text, tokens, RINGMOE_TOKENS_LLMC);
    check_layout(tokenizer, text, tokens, RINGMOE_TOKENS_MEGATRON);
    ringmoe_tokens_destroy(&tokens);
    ringmoe_tokenizer_destroy(&tokenizer);
    free(ids);
}

/* Texts without the line ends of English: CRLF, Chinese, no line ends at all, many blanks. */
static const char *const paragraphs[] = {
    "The fox's 12 dogs  \r\nran, <s> away\r\n\r\n",
    "\xe5\xa4\xa9\xe5\x9c\xb0\xe7\x8e\x84\xe3\x80\x82\n\n\xe6\x97\xa5\xe6\x9c\x88!\n",
    "one line, without an end e\xcc\x81 <|endoftext|> 1234567\xff and more ",
    "\xd0\x94\xd0\xb0 \xd0\xbd\xd0\xb5\xd1\x82\n   \n\t\xe0\xa4\x95\xe0\xa4\xbc [INST]  \n x",
};

static char *repeated(const char *paragraph, int64_t *bytes)
{
    int64_t n = (int64_t)strlen(paragraph);
    char *text = malloc(900000);
    for (*bytes = 0; *bytes + n < 900000; *bytes += n)
        memcpy(text + *bytes, paragraph, (size_t)n);
    return text;
}

static void check_pieces(ringmoe_tokenizer *tokenizer, const char *text, int64_t bytes,
                         int flags)
{
    ringmoe_tokenize_settings settings;
    ringmoe_tokens *tokens;
    const char *path = scratch_file("pieces.txt", text, (size_t)bytes);
    int32_t *ids = malloc((size_t)bytes * 2 * sizeof *ids), id;
    int64_t n;
    must(ringmoe_tokenizer_encode(tokenizer, text, bytes, flags, ids, bytes * 2, &n));
    ringmoe_tokenize_settings_default(&settings);
    settings.flags = flags;
    must(ringmoe_tokens_encode(&context, tokenizer, &path, 1, &settings, &tokens, NULL));
    assert_int_equal(ringmoe_tokens_count(tokens), n);
    for (int64_t i = 0; i < n; i++) {
        ringmoe_tokens_read(tokens, i, 1, &id);
        if (id != ids[i]) fail_msg("token %d of %d is another one", (int)i, (int)n);
    }
    ringmoe_tokens_destroy(&tokens);
    free(ids);
}

/* As pieces of a quarter of a MiB each text has the ids of the whole. */
static void pieces_have_the_ids_of_the_whole(void **state)
{
    static const char *const names[] = {"gpt2", "qwen2", "llama3", "olmoe", "mixtral"};
    context.compute.n_threads = 2;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        ringmoe_tokenizer *tokenizer = opened(names[i]);
        for (size_t k = 0; k < sizeof paragraphs / sizeof paragraphs[0]; k++) {
            int64_t bytes;
            char *text = repeated(paragraphs[k], &bytes);
            check_pieces(tokenizer, text, bytes, k % 2 ? RINGMOE_ENCODE_FRAME : 0);
            free(text);
        }
        ringmoe_tokenizer_destroy(&tokenizer);
    }
}

/* A list of the places where a text is cut, "3,9". */
static void check_cuts(const ringmoe_tokenizer *tokenizer, const char *text, const char *wanted)
{
    char found[64] = "";
    int64_t n = (int64_t)strlen(text);
    rm_text_cuts cuts = rm_text_cuts_of(tokenizer);
    for (int64_t at = 1; (at = rm_text_cuts_find(&cuts, text, n, at)) < n; at++)
        snprintf(found + strlen(found), sizeof found - strlen(found), "%s%d", *found ? "," : "",
                 (int)at);
    assert_string_equal(found, wanted);
}

static void cuts_where_nothing_reaches_across(void **state)
{
    /* a blank, a line end behind a letter, behind a sign; a letter behind a line end */
    static const char text[] = "ab  c\r\n\n\xe5\xa4\xa9\xe3\x80\x82\nd!\r\n";
    static const struct {
        const char *name, *wanted;
    } cases[] = {{"gpt2", "2,5,14,17"}, {"llama3", "2,5,8,15"}, {"mixtral", "2"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ringmoe_tokenizer *tokenizer = opened(cases[i].name);
        check_cuts(tokenizer, text, cases[i].wanted);
        ringmoe_tokenizer_destroy(&tokenizer);
    }
}

static void lines_are_documents(void **state)
{
    ringmoe_tokenizer *tokenizer = opened("gpt2");
    ringmoe_tokenize_settings settings;
    ringmoe_tokenize_result result;
    ringmoe_tokens *tokens;
    context.compute.n_threads = 2;
    const char *text =
        scratch_text("j.jsonl", "{\"text\": \"a\\nb\"}\n\n{\"text\": \"c\"}\r\n");
    ringmoe_tokenize_settings_default(&settings);
    settings.documents = RINGMOE_DOCUMENTS_JSON_LINES;
    must(ringmoe_tokens_encode(&context, tokenizer, &text, 1, &settings, &tokens, &result));
    assert_int_equal(result.documents, 2);
    assert_int_equal(result.tokens, 4);
    ringmoe_tokens_destroy(&tokens);
    /* What Python's writers leave behind. */
    text =
        scratch_text("odd.jsonl", "{\"text\": \"a\\u0000\\ud83d\"}\n{\"text\": \"\\udc00\"}\n");
    must(ringmoe_tokens_encode(&context, tokenizer, &text, 1, &settings, &tokens, &result));
    assert_int_equal(result.documents, 2);
    ringmoe_tokens_destroy(&tokens);
    text = scratch_text("bad.jsonl", "{\"text\": \"a\"}\n{\"other\": 1}\n");
    assert_int_equal(
        ringmoe_tokens_encode(&context, tokenizer, &text, 1, &settings, &tokens, &result),
        RINGMOE_ERROR_FORMAT);
    assert_non_null(strstr(context.error.text, "line 2"));
    ringmoe_tokenizer_destroy(&tokenizer);
}

/* --- token files
 * ------------------------------------------------------------------------------ */

static int64_t written(const ringmoe_tokenizer *tokenizer, const char *text,
                       ringmoe_token_format format, const char *path)
{
    ringmoe_tokenize_settings settings;
    ringmoe_tokenize_result result;
    ringmoe_tokenize_settings_default(&settings);
    settings.format = format;
    must(ringmoe_tokens_write(&context, tokenizer, &text, 1, &settings, path, &result));
    return result.tokens;
}

static void refused_name(const ringmoe_tokenizer *tokenizer, ringmoe_token_format format,
                         const char *name, const char *message)
{
    ringmoe_tokenize_settings settings;
    const char *text = scratch_path("in.txt"), *path = scratch_path(name);
    ringmoe_tokenize_settings_default(&settings);
    settings.format = format;
    assert_int_equal(ringmoe_tokens_write(&context, tokenizer, &text, 1, &settings, path, NULL),
                     RINGMOE_ERROR_ARGUMENT);
    if (!strstr(context.error.text, message)) fail_msg("%s", context.error.text);
}

/* A byte-level tokenizer with so many ids that they need 32 bits. */
static ringmoe_tokenizer *wide_tokenizer(void)
{
    enum { WIDE = 70000 };
    static char names[WIDE][12];
    static const char *tokens[WIDE], *const merges[] = {NULL};
    ringmoe_tokenizer_parts parts;
    ringmoe_tokenizer *tokenizer;
    ringmoe_tokenizer_parts_default(&parts);
    for (int i = 0; i < WIDE; i++) {
        /* The letters come last, so that their ids are large. */
        snprintf(names[i], sizeof names[i], i >= WIDE - 26 ? "%c" : "t%d",
                 i >= WIDE - 26 ? 'a' + i - (WIDE - 26) : i);
        tokens[i] = names[i];
    }
    parts.kind = RINGMOE_TOKENIZER_BYTES;
    parts.pattern = "gpt-2";
    parts.n_tokens = WIDE;
    parts.tokens = tokens;
    parts.merges = merges;
    must(ringmoe_tokenizer_create(&context, &parts, &tokenizer));
    return tokenizer;
}

/* A layout is only written under a name by which it is read again as what it is. */
static void names_tell_the_layout(void **state)
{
    scratch_text("in.txt", "abcdefghijklmnopqrstuvwxyz");
    ringmoe_tokenizer *narrow = opened("gpt2"), *wide = wide_tokenizer();
    ringmoe_tokens *tokens;
    refused_name(wide, RINGMOE_TOKENS_AUTO, "x.bin", "end the name in .u32");
    refused_name(wide, RINGMOE_TOKENS_U32, "x.bin", "end the name in .u32");
    refused_name(wide, RINGMOE_TOKENS_AUTO, "x.u16", "does not fit 16 bits");
    refused_name(narrow, RINGMOE_TOKENS_U32, "x.u16", "of the other layout");
    refused_name(narrow, RINGMOE_TOKENS_AUTO, "x", "would be read as text");
    refused_name(narrow, RINGMOE_TOKENS_LLMC, "x.u16", "ends in .bin");
    assert_int_equal(
        written(wide, scratch_path("in.txt"), RINGMOE_TOKENS_AUTO, scratch_path("x.u32")), 26);
    must(ringmoe_tokens_open(&context, scratch_path("x.u32"), RINGMOE_TOKENS_AUTO, 70000,
                             &tokens));
    assert_int_equal(ringmoe_tokens_count(tokens), 26);
    ringmoe_tokens_destroy(&tokens);
    /* One that another program wrote. */
    assert_int_equal(rename(scratch_path("x.u32"), scratch_path("x.bin")), 0);
    assert_int_equal(ringmoe_tokens_open(&context, scratch_path("x.bin"), RINGMOE_TOKENS_AUTO,
                                         70000, &tokens),
                     RINGMOE_ERROR_FORMAT);
    assert_non_null(strstr(context.error.text, "give the format u32"));
    ringmoe_tokenizer_destroy(&narrow);
    ringmoe_tokenizer_destroy(&wide);
}

/* A folder that has the output in it gives the same file again. */
static void does_not_read_its_output(void **state)
{
    ringmoe_tokenizer *tokenizer = opened("gpt2");
    char inside[512], path[512];
    strcpy(inside, scratch_path("inside"));
    strcpy(path, scratch_path("inside/b.bin"));
    assert_int_equal(mkdir(inside, 0777), 0);
    scratch_text("inside/a.txt", "some text");
    int64_t n = written(tokenizer, inside, RINGMOE_TOKENS_MEGATRON, path);
    assert_int_equal(written(tokenizer, inside, RINGMOE_TOKENS_MEGATRON, path), n);
    refused_name(tokenizer, RINGMOE_TOKENS_AUTO, "inside/b.bin", "is the index of another");
    unlink(scratch_path("inside/b.idx"));
    unlink(path);
    n = written(tokenizer, inside, RINGMOE_TOKENS_AUTO, path);
    assert_int_equal(written(tokenizer, inside, RINGMOE_TOKENS_AUTO, path), n);
    ringmoe_tokenizer_destroy(&tokenizer);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_do_not_change_the_ids),
        cmocka_unit_test(pieces_have_the_ids_of_the_whole),
        cmocka_unit_test(cuts_where_nothing_reaches_across),
        cmocka_unit_test(lines_are_documents),
        cmocka_unit_test(names_tell_the_layout),
        cmocka_unit_test(does_not_read_its_output),
    };
    folder = argc > 1 ? argv[1] : "tokenizers";
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
