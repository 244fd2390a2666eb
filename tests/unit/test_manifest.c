/* SPDX-License-Identifier: MIT
 *
 * manifest.json: round trips, each bit of it flipped, each length cut, broken rules under a
 * valid seal; and the check of a folder against it: what is damaged is named, wherever it lies
 * and whoever looks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/files.h"
#include "base/random.h"
#include "format/manifest_seal.h"
#include "scratch.h"

enum { LARGE_BYTES = 2 * RM_BLOCK_BYTES + 1000, SMALL_BYTES = 100 };

static unsigned char large[LARGE_BYTES], small[SMALL_BYTES];

static void fill(unsigned char *bytes, int64_t n, uint64_t seed)
{
    for (int64_t i = 0; i < n; i += 16) {
        uint32_t words[4];
        rm_random_words((rm_random_key){seed, 1}, (uint64_t)i, words);
        memcpy(bytes + i, words, (size_t)(n - i < 16 ? n - i : 16));
    }
}

/* Of a small, a large and an empty file. */
static rm_file_manifest make_manifest(void)
{
    rm_file_manifest manifest = {0};
    rm_error error;
    fill(small, SMALL_BYTES, 1);
    fill(large, LARGE_BYTES, 2);
    assert_int_equal(
        rm_file_manifest_add_content(&manifest, "small", small, SMALL_BYTES, &error),
        RINGMOE_OK);
    assert_int_equal(
        rm_file_manifest_add_content(&manifest, "large", large, LARGE_BYTES, &error),
        RINGMOE_OK);
    assert_int_equal(rm_file_manifest_add_content(&manifest, "empty", "", 0, &error),
                     RINGMOE_OK);
    return manifest;
}

static void write_folder(void)
{
    scratch_file("small", small, SMALL_BYTES);
    scratch_file("large", large, LARGE_BYTES);
    scratch_file("empty", "", 0);
}

static char *text_of(const rm_file_manifest *manifest, int64_t *size)
{
    char *text;
    rm_error error;
    assert_int_equal(rm_file_manifest_text(manifest, &text, size, &error), RINGMOE_OK);
    return text;
}

static void hashes_pieces_alike(void **state)
{
    static const int64_t pieces[] = {1 << 12, 4097, RM_BLOCK_BYTES, RM_BLOCK_BYTES + 1};
    rm_file_manifest manifest = make_manifest();
    rm_error error;
    for (int p = 0; p < 4; p++) {
        rm_block_hasher hasher;
        assert_int_equal(rm_block_hasher_init(&hasher, LARGE_BYTES, &error), RINGMOE_OK);
        for (int64_t at = 0; at < LARGE_BYTES; at += pieces[p])
            rm_block_hasher_add(&hasher, large + at,
                                LARGE_BYTES - at < pieces[p] ? LARGE_BYTES - at : pieces[p]);
        rm_block_hasher_finish(&hasher);
        assert_int_equal(hasher.n_hashes, 3);
        assert_memory_equal(hasher.hashes, manifest.files[1].hashes, 3 * sizeof(uint64_t));
        rm_block_hasher_free(&hasher);
        rm_block_hasher_free(&hasher);
    }
    assert_int_equal(manifest.files[0].hashes[0], XXH3_64bits(small, SMALL_BYTES));
    assert_int_equal(manifest.files[1].hashes[2],
                     XXH3_64bits(large + 2 * RM_BLOCK_BYTES, 1000));
    rm_file_manifest_free(&manifest);
}

static void reads_what_it_wrote(void **state)
{
    rm_file_manifest manifest = make_manifest(), found;
    rm_error error = {""};
    int64_t size;
    char *text = text_of(&manifest, &size);
    scratch_file(RM_FILE_MANIFEST_NAME, text, (size_t)size);
    assert_int_equal(rm_file_manifest_read(scratch_folder, &found, &error), RINGMOE_OK);
    assert_int_equal(found.block_bytes, RM_BLOCK_BYTES);
    assert_int_equal(found.n_files, 3);
    assert_int_equal(rm_file_manifest_bytes(&found), LARGE_BYTES + SMALL_BYTES);
    assert_null(rm_file_manifest_find(&found, "larg"));
    assert_ptr_equal(rm_file_manifest_find(&found, "empty"), &found.files[2]);
    for (int i = 0; i < 3; i++) {
        const rm_listed_file *file = &found.files[i], *wanted = &manifest.files[i];
        assert_string_equal(file->name, wanted->name);
        assert_int_equal(file->bytes, wanted->bytes);
        assert_int_equal(file->n_blocks, wanted->n_blocks);
        assert_memory_equal(file->hashes, wanted->hashes,
                            (size_t)file->n_blocks * sizeof *file->hashes);
    }
    free(text);
    rm_file_manifest_free(&found);
    rm_file_manifest_free(&found);
    rm_file_manifest_free(&manifest);
}

static ringmoe_status parse(const char *text, int64_t size, rm_error *error)
{
    rm_file_manifest found;
    *error = (rm_error){""};
    ringmoe_status status = rm_file_manifest_parse(text, size, "m", &found, error);
    rm_file_manifest_free(&found);
    return status;
}

static void finds_every_flipped_bit_and_cut(void **state)
{
    rm_file_manifest manifest = make_manifest();
    rm_error error;
    int64_t size;
    char *text = text_of(&manifest, &size);
    for (int64_t bit = 0; bit < 8 * size; bit++) {
        text[bit / 8] = (char)(text[bit / 8] ^ 1 << bit % 8);
        assert_int_equal(parse(text, size, &error), RINGMOE_ERROR_FORMAT);
        text[bit / 8] = (char)(text[bit / 8] ^ 1 << bit % 8);
    }
    for (int64_t cut = 0; cut < size; cut++)
        assert_int_equal(parse(text, cut, &error), RINGMOE_ERROR_FORMAT);
    assert_non_null(strstr(error.text, "m: its last line is not the checksum"));
    text[size] = ' ';
    assert_int_equal(parse(text, size + 1, &error), RINGMOE_ERROR_FORMAT);
    text[size] = 0;
    assert_int_equal(parse(text, size, &error), RINGMOE_OK);
    free(text);
    rm_file_manifest_free(&manifest);
}

#define HEAD "{\"format_version\": 1, \"block_bytes\": 4096, \"files\": ["
#define HASH "\"0123456789abcdef\""
#define LISTED(name, bytes, hashes)                                                            \
    "{\"name\": \"" name "\", \"bytes\": " bytes ", \"xxh3_64\": [" hashes "]}"

static void refuses_broken_rules(void **state)
{
    static const struct {
        const char *body, *message;
    } texts[] = {
        {"{", "format_version is not a number"},
        {"{\"format_version\": \"1\", \"block_bytes\": 4096, \"files\": [],",
         "format_version is not a number"},
        {"{\"block_bytes\": 4096, \"files\": [],", "format_version is not a number"},
        {"{\"format_version\": 1, \"block_bytes\": 4095, \"files\": [],", "4096 to 2^30"},
        {"{\"format_version\": 1, \"block_bytes\": 0, \"files\": [],", "4096 to 2^30"},
        {"{\"format_version\": 1, \"block_bytes\": 1e9, \"files\": [],", "4096 to 2^30"},
        {HEAD "],", "files is missing or empty"},
        {HEAD LISTED("a", "0", "") "], \"more\": 1,", "another key"},
        {HEAD LISTED("a", "0", "") "], \"files\": [],", "duplicate"},
        {HEAD "{\"name\": \"a\", \"bytes\": 0}],", "listed otherwise than"},
        {HEAD "{\"name\": 1, \"bytes\": 0, \"xxh3_64\": []}],", "listed otherwise than"},
        {HEAD "[]],", "listed otherwise than"},
        {HEAD LISTED("", "0", "") "],", "no name"},
        {HEAD LISTED("../a", "0", "") "],", "../a is not in the same folder"},
        {HEAD LISTED("/a", "0", "") "],", "/a is not in the same folder"},
        {HEAD LISTED("..", "0", "") "],", ".. is not in the same folder"},
        {HEAD LISTED("a\\nb", "0", "") "],", "a?b has a name with characters"},
        {HEAD LISTED("manifest.json", "0", "") "],", "is the manifest itself"},
        {HEAD LISTED("a", "-1", "") "],", "a has no size"},
        {HEAD LISTED("a", "1.0", HASH) "],", "a has no size"},
        {HEAD LISTED("a", "9223372036854775808", HASH) "],", "has no size in bytes"},
        {HEAD LISTED("a", "9223372036854775807", HASH) "],", "a list of 2251799813685248"},
        {HEAD LISTED("a", "1", "") "],", "a list of 1"},
        {HEAD LISTED("a", "0", HASH) "],", "a list of 0"},
        {HEAD LISTED("a", "4097", HASH) "],", "a list of 2"},
        {HEAD LISTED("a", "1", "\"0123456789abcde\"") "],", "not 16 hex digits"},
        {HEAD LISTED("a", "1", "\"0123456789ABCDEF\"") "],", "not 16 hex digits"},
        {HEAD LISTED("a", "1", "1") "],", "not 16 hex digits"},
        {HEAD LISTED("a", "0", "") "," LISTED("b", "0", "") "," LISTED("a", "0", "") "],",
         "a is listed twice"},
        {HEAD "[[[[[[]]]]]]],", "too deep in each other"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char text[1024];
        rm_error error;
        size_t length = strlen(texts[i].body);
        memcpy(text, texts[i].body, length);
        rm_manifest_seal(text, length, text + length);
        ringmoe_status status = parse(text, (int64_t)length + RM_SEAL_BYTES, &error);
        if (status != RINGMOE_ERROR_FORMAT || !strstr(error.text, texts[i].message))
            fail_msg("%s gave status %d, \"%s\"; expected \"%s\"", texts[i].body, status,
                     error.text, texts[i].message);
    }
}

/* Whole, but not for this library: no damage, whatever else it has. */
static void knows_another_version(void **state)
{
    static const char body[] = "{\"format_version\": 2, \"pieces\": {},";
    char text[sizeof body + RM_SEAL_BYTES];
    size_t length = strlen(body);
    rm_error error;
    memcpy(text, body, length);
    rm_manifest_seal(text, length, text + length);
    assert_int_equal(parse(text, (int64_t)length + RM_SEAL_BYTES, &error),
                     RINGMOE_ERROR_ARGUMENT);
    assert_non_null(strstr(error.text, "another version: format_version is 2"));
}

static void refuses_to_list(void **state)
{
    rm_file_manifest manifest = {0};
    rm_error error;
    uint64_t hashes[2] = {1, 2};
    assert_int_equal(rm_file_manifest_add(&manifest, "a/b", 1, hashes, 1, &error),
                     RINGMOE_ERROR_ARGUMENT);
    assert_int_equal(rm_file_manifest_add(&manifest, "a", 1, hashes, 2, &error),
                     RINGMOE_ERROR_ARGUMENT);
    assert_int_equal(rm_file_manifest_add(&manifest, "a", -1, hashes, 0, &error),
                     RINGMOE_ERROR_ARGUMENT);
    assert_int_equal(manifest.n_files, 0);
    rm_file_manifest_free(&manifest);
}

/* Over two ranks' shares: the message of the one with the first damage; OK if there is none. */
static ringmoe_status verify(const rm_file_manifest *manifest, int n_threads, rm_error *error)
{
    rm_block_findings first = {.block = INT64_MAX};
    ringmoe_status status = RINGMOE_OK;
    int64_t bytes = 0;
    for (int rank = 0; rank < 2; rank++) {
        rm_error why = {""};
        rm_block_findings findings;
        ringmoe_status found = rm_file_manifest_verify(
            manifest, scratch_folder,
            (rm_block_share){.number = rank, .of = 2, .n_threads = n_threads}, &findings, &why);
        bytes += findings.bytes;
        if (found == RINGMOE_OK) assert_int_equal(findings.block, INT64_MAX);
        if (found == RINGMOE_OK || (status != RINGMOE_OK && findings.block > first.block))
            continue;
        first = findings;
        status = found;
        *error = why;
    }
    if (status == RINGMOE_OK) assert_int_equal(bytes, rm_file_manifest_bytes(manifest));
    return status;
}

static void expect_damage(const rm_file_manifest *manifest, const char *message)
{
    for (int n_threads = 1; n_threads <= 3; n_threads++) {
        rm_error error = {""};
        assert_int_equal(verify(manifest, n_threads, &error), RINGMOE_ERROR_FORMAT);
        if (!strstr(error.text, message))
            fail_msg("\"%s\" does not say \"%s\"", error.text, message);
    }
}

static void verifies_whole_folders(void **state)
{
    rm_file_manifest manifest = make_manifest();
    rm_error error = {""};
    write_folder();
    for (int n_threads = 1; n_threads <= 5; n_threads++)
        if (verify(&manifest, n_threads, &error) != RINGMOE_OK) fail_msg("%s", error.text);
    rm_file_manifest_free(&manifest);
}

/* Stretches of the large file, every other one wanted: short and long ones, across blocks. */
static const int64_t stretches[] = {100, 70000, 5, 300000, 65536, 3000000, 1, 4};
enum { N_STRETCHES = sizeof stretches / sizeof stretches[0] };
static unsigned char taken[LARGE_BYTES];

static char *place_stretch(const void *argument, int file, int64_t at, int64_t *n)
{
    int64_t end = 0;
    int i = 0;
    assert_null(argument);
    for (; end <= at; i++) end += stretches[i % N_STRETCHES];
    *n = end - at;
    return file == 1 && i % 2 ? (char *)taken + at : NULL;
}

/* The values of the listed blocks alone, where they are wanted. */
static void check_taken(const int64_t *list, int n_listed)
{
    unsigned char *wanted = calloc(1, LARGE_BYTES);
    assert_non_null(wanted);
    for (int i = 0; i < n_listed; i++) {
        int64_t end = list[i] * RM_BLOCK_BYTES, n; /* block 0 is the small file's */
        for (int64_t at = end - RM_BLOCK_BYTES; at >= 0 && at < end && at < LARGE_BYTES; at++)
            if (place_stretch(NULL, 1, at, &n)) wanted[at] = large[at];
    }
    assert_memory_equal(taken, wanted, LARGE_BYTES);
    free(wanted);
}

static void gives_bytes_away(void **state)
{
    static const int64_t lists[][4] = {{0, 1, 2, 3}, {1, 3}, {2}};
    static const int n_listed[] = {4, 2, 1};
    static const rm_block_sink sink = {place_stretch, NULL};
    rm_file_manifest manifest = make_manifest();
    write_folder();
    for (int i = 0; i < 6; i++) {
        const rm_block_share share = {.n_threads = 1 + i % 2,
                                      .list = lists[i / 2],
                                      .n_listed = n_listed[i / 2],
                                      .sink = &sink};
        rm_block_findings findings;
        rm_error error = {""};
        memset(taken, 0, sizeof taken);
        if (rm_file_manifest_verify(&manifest, scratch_folder, share, &findings, &error))
            fail_msg("%s", error.text);
        check_taken(lists[i / 2], n_listed[i / 2]);
    }
    rm_file_manifest_free(&manifest);
}

static void names_damage(void **state)
{
    rm_file_manifest manifest = make_manifest();
    write_folder();
    large[LARGE_BYTES - 1] ^= 1;
    scratch_file("large", large, LARGE_BYTES);
    expect_damage(&manifest, "large: bytes 8388608 to 8389607 are not what was written");
    large[RM_BLOCK_BYTES] ^= 0x80;
    scratch_file("large", large, LARGE_BYTES);
    expect_damage(&manifest, "large: bytes 4194304 to 8388607 are not what was written");
    small[0] ^= 1;
    scratch_file("small", small, SMALL_BYTES);
    expect_damage(&manifest, "small: bytes 0 to 99 are not what was written");
    scratch_file("large", large, LARGE_BYTES - 1);
    expect_damage(&manifest, "large: has 8389607 bytes; 8389608 were written: it was cut");
    scratch_file("small", large, SMALL_BYTES + 1);
    expect_damage(&manifest, "small: has 101 bytes; 100 were written: it was added to");
    scratch_file("small", small, SMALL_BYTES);
    scratch_file("large", large, LARGE_BYTES);
    remove(scratch_path("empty"));
    expect_damage(&manifest, "empty: is missing");
    rm_file_manifest_free(&manifest);
}

static void names_folders_without_one(void **state)
{
    rm_file_manifest manifest;
    rm_error error = {""};
    assert_int_equal(rm_file_manifest_read(scratch_path("none"), &manifest, &error),
                     RINGMOE_ERROR_FILE);
    assert_non_null(strstr(error.text, "none/manifest.json"));
    rm_file_manifest_free(&manifest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_pieces_alike),
        cmocka_unit_test(reads_what_it_wrote),
        cmocka_unit_test(finds_every_flipped_bit_and_cut),
        cmocka_unit_test(refuses_broken_rules),
        cmocka_unit_test(knows_another_version),
        cmocka_unit_test(refuses_to_list),
        cmocka_unit_test(verifies_whole_folders),
        cmocka_unit_test(gives_bytes_away),
        cmocka_unit_test(names_damage),
        cmocka_unit_test(names_folders_without_one),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
