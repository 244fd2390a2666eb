/* SPDX-License-Identifier: MIT
 *
 * Tokenizers against the ids of the `tokenizers` library (tokenizers/make_tokenizers.py), from
 * files and from lists; vocabularies learned from texts; chat templates; refusals by name.
 */
#include "tokenizer_fixture.h"

enum { MOST_TEXT = 4096 };
/* "6162 0 17 4": bytes, frame, ids. Returns the bytes. */
static int read_case(const char *line, char *text, int *frame, int32_t *ids, int *n_ids)
{
    int n = 0, used;
    unsigned byte;
    for (; sscanf(line, "%2x%n", &byte, &used) == 1 && *line != ' '; line += 2)
        text[n++] = (char)byte;
    assert_int_equal(sscanf(line, " %d%n", frame, &used), 1);
    line += used;
    for (*n_ids = 0; sscanf(line, " %d%n", &ids[*n_ids], &used) == 1; line += used) ++*n_ids;
    return n;
}

static void check_case(ringmoe_tokenizer *tokenizer, const char *line)
{
    char text[MOST_TEXT];
    int32_t wanted[MOST_TEXT], ids[MOST_TEXT];
    int frame, n_wanted, n = read_case(line, text, &frame, wanted, &n_wanted);
    int64_t n_ids;
    must(ringmoe_tokenizer_encode(tokenizer, text, n, frame ? RINGMOE_ENCODE_FRAME : 0, ids,
                                  MOST_TEXT, &n_ids));
    if (n_ids != n_wanted || memcmp(ids, wanted, (size_t)n_ids * sizeof *ids) != 0)
        fail_msg("other ids for %.200s", line);
}

/* A list has no place for blanks beside a token, tokens of normalized text, or a pattern that
 * has no name. */
static bool lists_say_all(const char *name)
{
    return strcmp(name, "qwen2") != 0 && strcmp(name, "olmoe") != 0 &&
           strcmp(name, "scripts") != 0;
}

static void gives_the_librarys_ids(void **state)
{
    static const char *const names[] = {"gpt2",  "qwen2",   "llama3",
                                        "olmoe", "mixtral", "scripts"};
    static char line[1 << 16];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[1024];
        ringmoe_tokenizer *tokenizer = opened(names[i]), *again = NULL, *written = NULL;
        ringmoe_tokenizer_parts parts;
        bool is_whole = lists_say_all(names[i]);
        if (is_whole) {
            must(ringmoe_tokenizer_describe(tokenizer, &parts));
            must(ringmoe_tokenizer_create(&context, &parts, &again));
            must(ringmoe_tokenizer_save(again, scratch_folder));
            must(ringmoe_tokenizer_open(&context, scratch_folder, &written));
        }
        snprintf(path, sizeof path, "%s/%s.ids", folder, names[i]);
        FILE *cases = fopen(path, "r");
        assert_non_null(cases);
        int n = 0;
        for (; fgets(line, sizeof line, cases); n++) {
            check_case(tokenizer, line);
            if (!is_whole) continue;
            check_case(again, line);
            check_case(written, line);
        }
        assert_true(n > 100);
        fclose(cases);
        ringmoe_tokenizer_destroy(&written);
        ringmoe_tokenizer_destroy(&again);
        ringmoe_tokenizer_destroy(&tokenizer);
    }
}

/* Special tokens and the template go to tokenizer_config.json; what another tokenizer left in
 * the folder goes. */
static void saves_what_was_lists(void **state)
{
    static const char *const tokens[] = {"<unk>", "<s>", "</s>", "a", "b", "a b", "<0x0A>"};
    static const int32_t types[] = {2, 3, 3, 1, 1, 1, 6};
    static const float scores[] = {0, 0, 0, -1, -2, -3, 0};
    ringmoe_tokenizer_parts parts;
    ringmoe_tokenizer *made, *read;
    int32_t ids[8];
    int64_t n;
    ringmoe_tokenizer_parts_default(&parts);
    parts.kind = RINGMOE_TOKENIZER_CHARACTERS;
    parts.n_tokens = 7;
    parts.tokens = tokens;
    parts.types = types;
    parts.scores = scores;
    parts.unknown = 0;
    parts.bos = 1;
    parts.eos = 2;
    parts.adds_bos = parts.adds_eos = 1;
    parts.chat_template = "{{ \"\n\" }}";
    scratch_text("special_tokens_map.json", "{\"eos_token\": \"b\"}");
    must(ringmoe_tokenizer_create(&context, &parts, &made));
    must(ringmoe_tokenizer_save(made, scratch_folder));
    must(ringmoe_tokenizer_open(&context, scratch_folder, &read));
    assert_int_not_equal(access(scratch_path("special_tokens_map.json"), F_OK), 0);
    assert_true(ringmoe_tokenizer_eos(read) == 2 && ringmoe_tokenizer_unknown(read) == 0);
    assert_string_equal(ringmoe_tokenizer_chat_template(read), parts.chat_template);
    must(ringmoe_tokenizer_encode(read, "b\n", 2, RINGMOE_ENCODE_FRAME, ids, 8, &n));
    assert_true(n == 4 && ids[0] == 1 && ids[1] == 4 && ids[2] == 6 && ids[3] == 2);
    ringmoe_tokenizer_destroy(&read);
    ringmoe_tokenizer_destroy(&made);
}

/* Ids without a token get a name that no token has. */
static void names_what_no_token_is(void **state)
{
    ringmoe_tokenizer *tokenizer;
    ringmoe_tokenizer_parts parts;
    const char *path = scratch_text(
        "holes.json", "{\"pre_tokenizer\": {\"type\": \"ByteLevel\"}, \"model\": {\"vocab\": "
                      "{\"a\": 0, \"[unused1]\": 2}, \"merges\": []}}");
    must(ringmoe_tokenizer_open(&context, path, &tokenizer));
    must(ringmoe_tokenizer_describe(tokenizer, &parts));
    assert_string_equal(parts.tokens[1], "[unused_1]");
    assert_int_equal(parts.types[1], RINGMOE_TOKEN_UNUSED);
    ringmoe_tokenizer_destroy(&tokenizer);
}

static void decodes_what_it_encoded(void **state)
{
    static const char *const names[] = {"gpt2", "llama3", "mixtral"};
    static const char text[] = "The \xe5\xa4\xa9 fox's  \xf0\x9f\x99\x82 12";
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        ringmoe_tokenizer *tokenizer = opened(names[i]);
        int32_t ids[64];
        char back[128] = "";
        int64_t n;
        must(ringmoe_tokenizer_encode(tokenizer, text, sizeof text - 1, 0, ids, 64, &n));
        for (int64_t at = 0; at < n; at++) {
            int bytes;
            const char *piece = ringmoe_tokenizer_bytes(tokenizer, ids[at], at == 0, &bytes);
            strncat(back, piece, (size_t)bytes);
        }
        assert_string_equal(back, text);
        ringmoe_tokenizer_destroy(&tokenizer);
    }
}

static void users_text_holds_no_special_tokens(void **state)
{
    ringmoe_tokenizer *tokenizer = opened("gpt2");
    int end = ringmoe_tokenizer_find(tokenizer, "<|endoftext|>");
    int32_t ids[32];
    int64_t n;
    must(ringmoe_tokenizer_encode(tokenizer, "<|endoftext|>", 13, 0, ids, 32, &n));
    assert_true(n == 1 && ids[0] == end);
    must(ringmoe_tokenizer_encode(tokenizer, "<|endoftext|>", 13, RINGMOE_ENCODE_PLAIN, ids, 32,
                                  &n));
    assert_true(n > 1);
    must(ringmoe_tokenizer_encode(tokenizer, "", 0, RINGMOE_ENCODE_FRAME, NULL, 0, &n));
    assert_int_equal(n, 0);
    ringmoe_tokenizer_destroy(&tokenizer);
}

/* --- training
 * --------------------------------------------------------------------------------- */

/* How byte-level vocabularies spell a blank. */
#define BLANK "\xc4\xa0"

static const char *training_text(void)
{
    return scratch_text("train.txt",
                        "hug hug hug hug hug hug hug hug hug hug pug pug pug pug pug pun pun "
                        "pun pun pun pun pun pun pun pun pun pun bun bun bun bun hugs hugs "
                        "hugs hugs hugs <|end|>zz<|end|>zz aaaa aaaa \xff\xff\n");
}

static ringmoe_train_tokenizer_settings small_training(int vocab_size)
{
    static const char *const special[] = {"<|end|>"};
    ringmoe_train_tokenizer_settings settings;
    ringmoe_train_tokenizer_settings_default(&settings);
    settings.vocab_size = vocab_size;
    settings.special = special;
    settings.n_special = 1;
    return settings;
}

/* The merge of a rank, as it is spelled; the list lives as long as the tokenizer. */
static void check_merges(ringmoe_tokenizer *tokenizer, const char *const *wanted, int n)
{
    ringmoe_tokenizer_parts parts;
    must(ringmoe_tokenizer_describe(tokenizer, &parts));
    assert_true(parts.n_merges >= n);
    for (int i = 0; i < n; i++) assert_string_equal(parts.merges[i], wanted[i]);
}

/* Counted by hand: 20 times u g, 17 blank p, 16 u n, 15 h ug, 14 blank hug, 12, 6, then two
 * pairs 5 times and two 4 times, of which the ones of lower ids come first. */
static void learns_the_most_frequent_pairs(void **state)
{
    static const char *const wanted[] = {"u g",         BLANK " p",   "u n",       "h ug",
                                         BLANK " hug",  BLANK "p un", "a a",       BLANK "p ug",
                                         BLANK "hug s", "b un",       BLANK " bun"};
    context.compute.n_threads = 2;
    const char *text = training_text(), *path = scratch_path("trained.json");
    ringmoe_train_tokenizer_settings settings = small_training(1000);
    ringmoe_train_tokenizer_result result;
    ringmoe_tokenizer *tokenizer;
    int32_t ids[8];
    int64_t n;
    must(ringmoe_train_tokenizer(&context, &text, 1, &settings, path, &result));
    must(ringmoe_tokenizer_open(&context, path, &tokenizer));
    check_merges(tokenizer, wanted, sizeof wanted / sizeof wanted[0]);
    assert_int_equal(ringmoe_tokenizer_find(tokenizer, "<|end|>"), 0);
    assert_int_equal(ringmoe_tokenizer_find(tokenizer, "!"), 1);
    assert_int_equal(ringmoe_tokenizer_find(tokenizer, "ug"), 257);
    /* The text ran out of pairs; the special token, which is no word, left "zz" twice. */
    assert_int_equal(result.vocab_size, ringmoe_tokenizer_vocab_size(tokenizer));
    assert_int_equal(result.merges, result.vocab_size - 257);
    assert_true(ringmoe_tokenizer_find(tokenizer, "zz") > 0);
    assert_true(ringmoe_tokenizer_find(tokenizer, "aaaa") < 0);
    assert_true(ringmoe_tokenizer_find(tokenizer, BLANK "aaaa") > 0);
    must(ringmoe_tokenizer_encode(tokenizer, " hug<|end|>", 11, 0, ids, 8, &n));
    assert_true(n == 2 && ids[1] == 0);
    ringmoe_tokenizer_destroy(&tokenizer);
}

static void check_same_files(const char *a, const char *b)
{
    char command[1100];
    snprintf(command, sizeof command, "cmp '%s' '%s'", a, b);
    assert_int_equal(system(command), 0);
}

static int stop_at_once(void *user, double done)
{
    *(double *)user = done;
    return 1;
}

static void threads_do_not_change_the_vocabulary(void **state)
{
    const char *texts[] = {long_text(), training_text()}, *first = scratch_path("1.json");
    const char *made = NULL;
    ringmoe_train_tokenizer_settings settings = small_training(600);
    ringmoe_train_tokenizer_result result;
    ringmoe_tokenizer *tokenizer;
    double done = -1;
    settings.pattern = "qwen2";
    context.compute.n_threads = 1;
    must(ringmoe_train_tokenizer(&context, texts, 2, &settings, first, &result));
    assert_int_equal(result.documents, 2);
    for (context.compute.n_threads = 3; context.compute.n_threads > 1;
         context.compute.n_threads--) {
        char file[600];
        made = scratch_path(context.compute.n_threads == 3 ? "made by 3" : "made by 2");
        snprintf(file, sizeof file, "%s/tokenizer.json", made);
        must(ringmoe_train_tokenizer(&context, texts, 2, &settings, made, NULL));
        check_same_files(first, file);
    }
    must(ringmoe_tokenizer_open(&context, made, &tokenizer));
    assert_int_equal(ringmoe_tokenizer_eos(tokenizer), 0);
    ringmoe_tokenizer_destroy(&tokenizer);
    settings.progress = stop_at_once;
    settings.user = &done;
    assert_int_equal(ringmoe_train_tokenizer(&context, texts, 2, &settings,
                                             scratch_path("stopped.json"), NULL),
                     RINGMOE_ERROR_INTERRUPTED);
    assert_true(done >= 0);
    assert_int_not_equal(access(scratch_path("stopped.json"), F_OK), 0);
}

static void check_refused(const ringmoe_train_tokenizer_settings *settings, const char *text,
                          ringmoe_status status, const char *message)
{
    const char *path = scratch_path("refused.json");
    assert_int_equal(ringmoe_train_tokenizer(&context, &text, 1, settings, path, NULL), status);
    if (!strstr(context.error.text, message)) fail_msg("%s", context.error.text);
    assert_int_not_equal(access(path, F_OK), 0);
}

static void refuses_to_train(void **state)
{
    static const char *const twins[] = {"<a>", "<a>"}, *const byte[] = {"a"},
                             *const broken[] = {"<\xff>"};
    const char *text = training_text();
    ringmoe_train_tokenizer_settings settings = small_training(256);
    check_refused(&settings, text, RINGMOE_ERROR_ARGUMENT, "must be from 257");
    settings = small_training(300);
    check_refused(&settings, scratch_text("none.txt", ""), RINGMOE_ERROR_FORMAT, "no text");
    check_refused(&settings, scratch_path("missing.txt"), RINGMOE_ERROR_FILE, "missing.txt");
    settings.pattern = "other";
    check_refused(&settings, text, RINGMOE_ERROR_ARGUMENT, "pattern other");
    settings = small_training(300);
    settings.end = "<|other|>";
    check_refused(&settings, text, RINGMOE_ERROR_ARGUMENT, "<|other|>");
    settings.end = NULL;
    settings.special = byte;
    check_refused(&settings, text, RINGMOE_ERROR_ARGUMENT, "single byte");
    settings.special = broken;
    check_refused(&settings, text, RINGMOE_ERROR_ARGUMENT, "UTF-8");
    settings.special = twins;
    settings.n_special = 2;
    check_refused(&settings, text, RINGMOE_ERROR_ARGUMENT, "<a> is given twice");
}

/* --- chats and refusals
 * -------------------------------------------------------------------------- */

static ringmoe_tokenizer *with_template(const char *text)
{
    char command[2048];
    ringmoe_tokenizer *tokenizer;
    snprintf(command, sizeof command, "cp '%s/gpt2.json' '%s/tokenizer.json'", folder,
             scratch_folder);
    assert_int_equal(system(command), 0);
    scratch_text("chat_template.jinja", text);
    must(ringmoe_tokenizer_open(&context, scratch_folder, &tokenizer));
    return tokenizer;
}

static void renders_a_chat(void **state)
{
    static const struct {
        const char *text, *wanted;
    } cases[] = {
        {"{% for m in messages %}{{ m['role'] + ': ' + m.content | trim }}\n{% endfor %}"
         "{% if add_generation_prompt %}ai:{% endif %}",
         "system: s\nuser: hi\nai:"},
        {"{%- set ns = namespace(n=0) %}\n  {%- for m in messages[::-1] if m.role != 'system' "
         "%}"
         "\n  {%- set ns.n = ns.n + loop.index %}\n{%- endfor %}\n{{ ns.n ~ '!' }}\n",
         "1!"},
        {"a\n  {# comment #}\nb {{- ' c ' }}{% set x = messages|length - 1 %}{{ x }}"
         "{{ 'y' if x == 1 and tools is none and not z is defined else 'n' }}",
         "a\nb c 1y"},
        {"{{ messages[0]['content'].split('s')[-1].strip() == '' }}{{ -7 % 3 }}", "True2"},
        /* Characters, and Python's blanks, such as U+3000, U+00A0 and U+001C */
        {"{{ '\xe3\x80\x80\xc2\xa0\x1c x\xe3\x80\x80' | trim }}"
         "{{ '\xe3\x80\x82\xe3\x80\x81x\xe3\x80\x82'.strip('\xe3\x80\x82') }}",
         "x\xe3\x80\x81x"},
        {"{% for m in messages %}\r\n{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.depth }}"
         "{{ ' a  b\xc2\xa0'.split() | length }}\r\n{% endfor %}\r",
         "2112\n1012\n"},
        {"{{ ['x', [1]] == ['x', [1]] }}{{ ['x'] in [['y'], ['x']] }}{{ ['x'] == ['y'] }}"
         "{{ messages[0] == messages[0] }}{{ messages[0] == messages[1] }}{{ [] != [1] }}",
         "TrueTrueFalseTrueFalseTrue"},
        {"{% if strftime_now is defined %}{{ strftime_now('%') | length }}{% endif %}", "1"},
        {"{% for a, b in [['x', 1], ['y', 2]] if b > 1 %}{{ a }}{{ b }}{% endfor %}"
         "{% for key, value in messages[0].items() %}{{ key }}={{ value }},{% endfor %}"
         "{% for key, value in messages[0] | items %}{{ key }}{% endfor %}",
         "y2role=system,content=s,rolecontent"},
        /* A macro sees its arguments and the template's variables, not the loop's */
        {"{% macro tell(m, sign='.', z) %}{{ m.role ~ sign ~ x }}{{ loop is defined }}{{ z }}"
         "{% set x = 'inner' %}{% endmacro %}{% set x = 7 %}{% for m in messages %}"
         "{{ tell(m) | upper }}{{ tell(m, z=m.content, sign=x) }}\n{% endfor %}{{ x }}",
         "SYSTEM.7FALSEsystem77Falses\nUSER.7FALSEuser77False hi \n7"},
        {"{% macro a(n) %}{{ n }}{% if n > 0 %}{{ a(n - 1) }}{% endif %}{% endmacro %}"
         "{{ a(3) }}",
         "3210"},
    };
    static const ringmoe_chat_message chat[] = {{"system", "s"}, {"user", " hi "}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[256];
        int64_t n;
        ringmoe_tokenizer *tokenizer = with_template(cases[i].text);
        must(ringmoe_tokenizer_chat(tokenizer, chat, 2, 1, text, sizeof text, &n));
        assert_string_equal(text, cases[i].wanted);
        assert_int_equal(n, strlen(text));
        ringmoe_tokenizer_destroy(&tokenizer);
    }
}

static void refuses_templates(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"{{ raise_exception('no system') }}", "no system"},
        {"a\n{% macro f() %}", "line 2"},
        {"{% import 'a' as b %}", "import is not done"},
        {"{% for a, b in messages %}{% endfor %}", "2 names"},
        {"{% macro a(b) %}{% endmacro %}{{ a(1, 2) }}", "a has no place"},
        {"{% macro a(b) %}{% endmacro %}{{ a(1, b=2) }}", "a has no place"},
        {"{% macro a('b') %}{% endmacro %}", "takes names"},
        {"{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", "too deep"},
        {"{% for m in messages %}{% macro a() %}{% endmacro %}{% endfor %}", "in a loop"},
        {"{% for m in messages %}", "without its end"},
        {"{{ messages | sort }}", "sort"},
        {"{{ a.b }}", "undefined"},
        {"{% for m in messages %}{{ loop.cycle('a') }}{% endfor %}", "cycle"},
        {"{% for a in messages %}{% for b in messages %}{{ 'x' * 3 }}{% endfor %}{% endfor %}",
         "*"},
    };
    static const ringmoe_chat_message chat[] = {{"user", "hi"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t n;
        ringmoe_tokenizer *tokenizer = with_template(cases[i].text);
        assert_int_equal(ringmoe_tokenizer_chat(tokenizer, chat, 1, 0, NULL, 0, &n),
                         RINGMOE_ERROR_FORMAT);
        if (!strstr(context.error.text, cases[i].message)) fail_msg("%s", context.error.text);
        ringmoe_tokenizer_destroy(&tokenizer);
    }
}

/* A template that takes time or memory without an end: each turn of a loop counts. */
static void bounds_templates(void **state)
{
    static const ringmoe_chat_message chat[] = {{"user", "hi"}};
    char text[4096] = "";
    int64_t n;
    for (int i = 0; i < 8; i++)
        strcat(text, "{% for a in [0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0] %}");
    for (int i = 0; i < 8; i++) strcat(text, "{% endfor %}");
    ringmoe_tokenizer *tokenizer = with_template(text);
    assert_int_equal(ringmoe_tokenizer_chat(tokenizer, chat, 1, 0, NULL, 0, &n),
                     RINGMOE_ERROR_FORMAT);
    assert_non_null(strstr(context.error.text, "makes more than"));
    assert_int_equal(ringmoe_tokenizer_chat(tokenizer, chat, 1, 0, NULL, 9, &n),
                     RINGMOE_ERROR_ARGUMENT);
    ringmoe_tokenizer_destroy(&tokenizer);
    memset(text, 'b', sizeof text);
    snprintf(text + sizeof text - 20, 20, "') }}");
    memcpy(text, "{{ 'a'.strip('", 14);
    tokenizer = with_template(text);
    assert_int_equal(ringmoe_tokenizer_chat(tokenizer, chat, 1, 0, NULL, 0, &n),
                     RINGMOE_ERROR_FORMAT);
    assert_non_null(strstr(context.error.text, "strip of more than"));
    ringmoe_tokenizer_destroy(&tokenizer);
}

static void refuses_what_is_not_done(void **state)
{
    static const struct {
        const char *parts, *message;
    } cases[] = {
        {"\"model\": {\"type\": \"WordPiece\", \"vocab\": {}}", "WordPiece"},
        {"\"model\": {\"vocab\": {\"a\": 0}, \"merges\": [\"a b\"]}", "merge 0"},
        {"\"model\": {\"vocab\": {\"a\": 0, \"b\": 0}, \"merges\": []}", "same id"},
        {"\"model\": {\"vocab\": {\"a\": 99999999}, \"merges\": []}", "99999999"},
        {"\"model\": {\"vocab\": {\"a\": 0}, \"merges\": [], \"dropout\": 0.1}", "dropout"},
        {"\"normalizer\": {\"type\": \"Lowercase\"}, \"model\": {}", "Lowercase"},
        {"\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"[a&&b]\"}, "
         "\"behavior\": \"Isolated\"}",
         "intersection"},
        {"\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"\\\\p{Cn}\"}, "
         "\"behavior\": \"Isolated\"}",
         "p{Cn}: this property"},
        {"\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"(?i:'s|aSs)\"}, "
         "\"behavior\": \"Isolated\"}",
         "one character, too"},
        {"\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"a\"}, "
         "\"behavior\": \"Contiguous\"}",
         "Contiguous"},
        {"\"unheard\": 1", "unheard"},
        {"\"normalizer\": {\"type\": \"Sequence\"}", "without its list normalizers"},
        {"\"model\": {\"vocab\": {\"a\": 0}, \"merges\": []}, \"decoder\": {\"type\": "
         "\"Fuse\", "
         "\"other\": 1}",
         "other"},
        {"\"|version\": 1", "|version"},
        {"\"version|truncation\": 1", "version|truncation"},
        {"\"model\": {\"vocab\": {\"a\": 9223372036854775807}, \"merges\": []}",
         "9223372036854775807"},
        {"\"model\": {\"vocab\": {\"a\": -1}, \"merges\": []}", "is -1"},
        {"\"added_tokens\": [{\"id\": 7, \"content\": \"<x>\"}], \"model\": {\"vocab\": "
         "{\"a\": 0}, \"merges\": []}",
         "<x> has id 7"},
        {"\"added_tokens\": [{\"id\": 2, \"content\": \"<x>\"}, {\"id\": 1, \"content\": "
         "\"<y>\"}], \"model\": {\"vocab\": {\"a\": 0}, \"merges\": []}",
         "<x> has id 2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[512];
        ringmoe_tokenizer *tokenizer;
        snprintf(text, sizeof text, "{%s}", cases[i].parts);
        assert_int_equal(
            ringmoe_tokenizer_open(&context, scratch_text("r.json", text), &tokenizer),
            RINGMOE_ERROR_FORMAT);
        assert_null(tokenizer);
        if (!strstr(context.error.text, cases[i].message)) fail_msg("%s", context.error.text);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_librarys_ids),
        cmocka_unit_test(saves_what_was_lists),
        cmocka_unit_test(names_what_no_token_is),
        cmocka_unit_test(decodes_what_it_encoded),
        cmocka_unit_test(users_text_holds_no_special_tokens),
        cmocka_unit_test(learns_the_most_frequent_pairs),
        cmocka_unit_test(threads_do_not_change_the_vocabulary),
        cmocka_unit_test(refuses_to_train),
        cmocka_unit_test(renders_a_chat),
        cmocka_unit_test(refuses_templates),
        cmocka_unit_test(bounds_templates),
        cmocka_unit_test(refuses_what_is_not_done),
    };
    folder = argc > 1 ? argv[1] : "tokenizers";
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
