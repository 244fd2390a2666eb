/* SPDX-License-Identifier: MIT
 *
 * The parts of `ringmoe data`. Each works in one process.
 */
#ifndef TOOLS_DATA_H
#define TOOLS_DATA_H

#include "session.h"

/* Options of those that read texts, whose structs have the members texts, documents and key.
 * The words are in the order of the library's numbers. */
#define DATA_TEXTS_ROW(type)                                                                   \
    OPTION_ROW(type, texts, TEXTS, "text", "PATH",                                             \
               "a text file or a folder; may be given several times", .otherwise = "none")
#define DATA_DOCUMENTS_ROWS(type)                                                              \
    OPTION_ROW(type, documents, CHOICE, "documents", "files|lines|json-lines",                 \
               "what in the texts is a document"),                                             \
        OPTION_ROW(type, key, TEXT, "key", "NAME", "of JSON lines: which of their texts")

int data_tokenize(tool_session *session, int argc, char **argv);
int data_train_tokenizer(tool_session *session, int argc, char **argv);
int data_info(tool_session *session, int argc, char **argv);

#endif
