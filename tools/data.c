/* SPDX-License-Identifier: MIT
 *
 * `ringmoe data`: which of its parts is meant.
 */
#include "data.h"

#include <string.h>

#include "command.h"

static const struct {
    const char *word, *command, *help;
    int (*run)(tool_session *session, int argc, char **argv);
} parts[] = {
    {"tokenize", "data tokenize", "texts to a token file", data_tokenize},
    {"train-tokenizer", "data train-tokenizer", "a vocabulary from texts",
     data_train_tokenizer},
    {"info", "data info", "what lies in a token file or a tokenizer", data_info},
};
enum { PARTS = sizeof parts / sizeof parts[0] };

static void print_help(void)
{
    for (int i = 0; i < PARTS; i++)
        printf("%s ringmoe data %-15s [options]  %s\n", i ? "      " : "usage:", parts[i].word,
               parts[i].help);
    printf("\n--help after each of them lists its options.\n");
}

int command_data(tool_session *session, int argc, char **argv)
{
    const char *names[PARTS + 1] = {NULL}, *word = argc > 1 ? argv[1] : "";
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        if (session->rank == 0) print_help();
        return EXIT_DONE;
    }
    if (session->size > 1)
        return session_fail(session, EXIT_USAGE,
                            "works in one process, with threads: start it without a launcher");
    for (int i = 0; i < PARTS; i++) {
        names[i] = parts[i].word;
        if (strcmp(word, names[i]) != 0) continue;
        session->command = parts[i].command;
        return parts[i].run(session, argc - 1, argv + 1);
    }
    const char *near = *word ? nearest_name(word, names) : NULL;
    if (near)
        return session_fail(session, EXIT_USAGE, "unknown part %.80s: did you mean %s?", word,
                            near);
    return session_fail(session, EXIT_USAGE, "%s%.80s: ringmoe data --help lists the parts",
                        *word ? "unknown part " : "no part given", word);
}
