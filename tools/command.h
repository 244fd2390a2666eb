/* SPDX-License-Identifier: MIT
 *
 * The subcommands. Each runs on all ranks and returns the exit status of the process.
 */
#ifndef TOOLS_COMMAND_H
#define TOOLS_COMMAND_H

#include "session.h"

int command_train(tool_session *session, int argc, char **argv);
int command_eval(tool_session *session, int argc, char **argv);
int command_generate(tool_session *session, int argc, char **argv);
int command_verify(tool_session *session, int argc, char **argv);
int command_convert(tool_session *session, int argc, char **argv);
int command_data(tool_session *session, int argc, char **argv);
int command_info(tool_session *session, int argc, char **argv);
int command_bench(tool_session *session, int argc, char **argv);

#endif
