/* SPDX-License-Identifier: MIT
 *
 * Token streams from files and folders: content, order, splits, hashes and refusals.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>

#include "comm/context.h"
#include "text/tokens.h"
#include "scratch.h"

static struct ringmoe_context context;

static ringmoe_tokens *opened(const char *path, ringmoe_token_format format, int vocab_size)
{
    ringmoe_tokens *tokens;
    if (ringmoe_tokens_open(&context, path, format, vocab_size, &tokens) != RINGMOE_OK)
        fail_msg("%s", context.error.text);
    return tokens;
}

static void refused(const char *path, ringmoe_token_format format, int vocab_size,
                    ringmoe_status expected, const char *message)
{
    ringmoe_tokens *tokens;
    assert_int_equal(ringmoe_tokens_open(&context, path, format, vocab_size, &tokens),
                     expected);
    assert_null(tokens);
    if (!strstr(context.error.text, message)) fail_msg("%s", context.error.text);
}

static void reads_bytes(void **state)
{
    int32_t ids[5];
    ringmoe_tokens *tokens =
        opened(scratch_text("a.txt", "ab\xff!c"), RINGMOE_TOKENS_AUTO, 256);
    assert_int_equal(ringmoe_tokens_count(tokens), 5);
    assert_int_equal(ringmoe_tokens_are_bytes(tokens), 1);
    assert_true(isnan(ringmoe_tokens_entropy(tokens)));
    assert_int_equal(ringmoe_tokens_read(tokens, 0, 5, ids), RINGMOE_OK);
    assert_int_equal(ids[0], 'a');
    assert_int_equal(ids[2], 255);
    assert_int_equal(ringmoe_tokens_read(tokens, 4, 1, ids), RINGMOE_OK);
    assert_int_equal(ids[0], 'c');
    assert_int_equal(ringmoe_tokens_read(tokens, 5, 0, ids), RINGMOE_OK);
    assert_int_equal(ringmoe_tokens_read(tokens, 4, 2, ids), RINGMOE_ERROR_ARGUMENT);
    assert_int_equal(ringmoe_tokens_read(tokens, -1, 1, ids), RINGMOE_ERROR_ARGUMENT);
    assert_int_equal(ringmoe_tokens_read(tokens, INT64_MAX, 1, ids), RINGMOE_ERROR_ARGUMENT);
    assert_int_equal(ringmoe_tokens_read(tokens, 1, INT64_MAX, ids), RINGMOE_ERROR_ARGUMENT);
    ringmoe_tokens_destroy(&tokens);
    assert_null(tokens);
    ringmoe_tokens_destroy(&tokens);
    ringmoe_tokens_destroy(NULL);
}

static void reads_ids(void **state)
{
    static const unsigned char two[] = {1, 0, 2, 1, 0xFF, 0xFF};
    static const unsigned char four[] = {1, 0, 0, 0, 0x40, 0x42, 0x0F, 0};
    int32_t ids[3];
    ringmoe_tokens *tokens = opened(scratch_file("a.bin", two, 6), RINGMOE_TOKENS_AUTO, 65536);
    assert_int_equal(ringmoe_tokens_count(tokens), 3);
    assert_int_equal(ringmoe_tokens_are_bytes(tokens), 0);
    ringmoe_tokens_read(tokens, 0, 3, ids);
    assert_true(ids[0] == 1 && ids[1] == 258 && ids[2] == 65535);
    ringmoe_tokens_destroy(&tokens);

    tokens = opened(scratch_file("a.u32", four, 8), RINGMOE_TOKENS_AUTO, 1000001);
    ringmoe_tokens_read(tokens, 0, 2, ids);
    assert_true(ids[0] == 1 && ids[1] == 1000000);
    ringmoe_tokens_destroy(&tokens);

    tokens = opened(scratch_path("a.bin"), RINGMOE_TOKENS_TEXT, 256);
    assert_int_equal(ringmoe_tokens_count(tokens), 6);
    ringmoe_tokens_destroy(&tokens);

    refused(scratch_path("a.bin"), RINGMOE_TOKENS_AUTO, 65535, RINGMOE_ERROR_FORMAT,
            "a.bin: token 2 is 65535, but the vocabulary has 65535 ids");
    refused(scratch_path("a.u32"), RINGMOE_TOKENS_AUTO, 1000, RINGMOE_ERROR_FORMAT,
            "token 1 is 1000000");
    refused(scratch_file("odd.u16", two, 5), RINGMOE_TOKENS_AUTO, 65536, RINGMOE_ERROR_FORMAT,
            "has 5 bytes, not a multiple of the 2 bytes of an id");
}

static void refuses_bad_input(void **state)
{
    refused(scratch_path("none.txt"), RINGMOE_TOKENS_AUTO, 256, RINGMOE_ERROR_FILE, "none.txt");
    refused(scratch_text("empty.txt", ""), RINGMOE_TOKENS_AUTO, 256, RINGMOE_ERROR_FORMAT,
            "empty.txt: is empty");
    refused(scratch_text("small.txt", "abc"), RINGMOE_TOKENS_AUTO, 99, RINGMOE_ERROR_FORMAT,
            "token 2 is 99");
    refused(scratch_path("small.txt"), RINGMOE_TOKENS_AUTO, 0, RINGMOE_ERROR_ARGUMENT,
            "vocab_size is 0");
    refused(scratch_path("small.txt"), (ringmoe_token_format)9, 256, RINGMOE_ERROR_ARGUMENT,
            "format 9");
    refused(scratch_folder, RINGMOE_TOKENS_U16, 256, RINGMOE_ERROR_FILE, "regular file");
    refused("", RINGMOE_TOKENS_AUTO, 256, RINGMOE_ERROR_ARGUMENT, "no file is named");
    assert_int_equal(mkdir(scratch_path("hollow"), 0777), 0);
    refused(scratch_path("hollow"), RINGMOE_TOKENS_AUTO, 256, RINGMOE_ERROR_FORMAT,
            "hollow: is empty");
}

static void reads_a_folder_in_order(void **state)
{
    static const char expected[] = "upper\nfirst\nlinked\ndeep\nlast";
    int32_t ids[sizeof expected];
    assert_int_equal(mkdir(scratch_path("texts"), 0777), 0);
    assert_int_equal(mkdir(scratch_path("texts/m"), 0777), 0);
    assert_int_equal(mkdir(scratch_path("texts/m/n"), 0777), 0);
    scratch_text("texts/z", "last");
    scratch_text("texts/b", "first");
    scratch_text("texts/B", "upper");
    scratch_text("texts/m/n/o", "deep");
    scratch_text("texts/nothing", "");
    scratch_text("texts/.hidden", "hidden");
    scratch_text("elsewhere", "linked");
    assert_int_equal(symlink(scratch_path("elsewhere"), scratch_path("texts/link")), 0);
    assert_int_equal(symlink("..", scratch_path("texts/m/loop")), 0);
    assert_int_equal(symlink("nowhere", scratch_path("texts/dangling")), 0);
    ringmoe_tokens *tokens = opened(scratch_path("texts"), RINGMOE_TOKENS_AUTO, 256);
    assert_int_equal(ringmoe_tokens_count(tokens), sizeof expected - 1);
    ringmoe_tokens_read(tokens, 0, sizeof expected - 1, ids);
    for (size_t i = 0; i + 1 < sizeof expected; i++) assert_int_equal(ids[i], expected[i]);
    ringmoe_tokens_destroy(&tokens);
}

static void splits(void **state)
{
    ringmoe_tokens *tokens =
        opened(scratch_text("s.txt", "0123456789"), RINGMOE_TOKENS_AUTO, 256);
    ringmoe_tokens *first, *last;
    int32_t id;
    assert_int_equal(ringmoe_tokens_split(&context, tokens, 0.3, &first, &last), RINGMOE_OK);
    assert_int_equal(ringmoe_tokens_count(first), 7);
    assert_int_equal(ringmoe_tokens_count(last), 3);
    assert_int_equal(ringmoe_tokens_read(last, 0, 1, &id), RINGMOE_OK);
    assert_int_equal(id, '7');
    ringmoe_tokens_destroy(&first);
    ringmoe_tokens_destroy(&last);
    assert_int_equal(ringmoe_tokens_split(&context, tokens, 1e-9, &first, &last), RINGMOE_OK);
    assert_int_equal(ringmoe_tokens_count(last), 1);
    ringmoe_tokens_destroy(&first);
    ringmoe_tokens_destroy(&last);
    static const double bad[] = {0, 1, -0.5, 2, NAN};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(ringmoe_tokens_split(&context, tokens, bad[i], &first, &last),
                         RINGMOE_ERROR_ARGUMENT);
        assert_true(!first && !last);
    }
    ringmoe_tokens_destroy(&tokens);
}

static void hashes_name_the_data(void **state)
{
    char one[17], two[17], wide[17], part[17];
    ringmoe_tokens *first, *last;
    ringmoe_tokens *tokens = opened(scratch_text("h1.txt", "same"), RINGMOE_TOKENS_AUTO, 256);
    ringmoe_tokens *copy = opened(scratch_text("h2.txt", "same"), RINGMOE_TOKENS_AUTO, 256);
    ringmoe_tokens *ids = opened(scratch_path("h1.txt"), RINGMOE_TOKENS_U16, 65536);
    assert_int_equal(ringmoe_tokens_split(&context, tokens, 0.5, &first, &last), RINGMOE_OK);
    ringmoe_tokens_hash(tokens, one);
    ringmoe_tokens_hash(copy, two);
    ringmoe_tokens_hash(ids, wide);
    ringmoe_tokens_hash(first, part);
    assert_int_equal(strlen(one), 16);
    assert_int_equal(strspn(one, "0123456789abcdef"), 16);
    assert_string_equal(one, two);
    assert_string_not_equal(one, wide);
    assert_string_not_equal(one, part);
    ringmoe_tokens_destroy(&first);
    ringmoe_tokens_destroy(&last);
    ringmoe_tokens_destroy(&ids);
    ringmoe_tokens_destroy(&copy);
    ringmoe_tokens_destroy(&tokens);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_bytes),
        cmocka_unit_test(reads_ids),
        cmocka_unit_test(refuses_bad_input),
        cmocka_unit_test(reads_a_folder_in_order),
        cmocka_unit_test(splits),
        cmocka_unit_test(hashes_name_the_data),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
