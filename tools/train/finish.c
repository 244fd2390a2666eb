/* SPDX-License-Identifier: MIT
 *
 * The end of a run: the last figures, a text by the trained model, and where things are.
 */
#include "train.h"

#include <math.h>
#include <stdlib.h>

#include "interrupt.h"
#include "json_text.h"
#include "text.h"

enum { PROMPT_TOKENS = 32 };

typedef struct sample_printer {
    FILE *out; /* NULL on ranks that do not print */
    bool are_bytes;
    const ringmoe_tokenizer *tokenizer; /* NULL: none */
    bool is_inside;                     /* of a text: a token has come */
    text_stream stream;
} sample_printer;

static void print_bytes(sample_printer *sample, int32_t token)
{
    int n;
    const char *bytes =
        ringmoe_tokenizer_bytes(sample->tokenizer, token, !sample->is_inside, &n);
    for (int i = 0; i < n; i++) text_stream_put(&sample->stream, (unsigned char)bytes[i]);
    sample->is_inside = true;
}

static int print_token(void *user, int text, int32_t token)
{
    sample_printer *sample = user;
    if (sample->out && sample->tokenizer)
        print_bytes(sample, token);
    else if (sample->out && sample->are_bytes)
        text_stream_put(&sample->stream, token);
    else if (sample->out)
        fprintf(sample->out, " %d", token);
    return interrupt_requested() ? RINGMOE_ALL_STOP : RINGMOE_TEXT_GOES_ON;
}

static void smaller(int64_t *value, int64_t limit)
{
    if (*value > limit) *value = limit;
}

/* Continues the beginning of the held-out text. */
static void print_sample(train_job *job)
{
    const ringmoe_tokens *text = job->val ? job->val : job->data;
    ringmoe_generate_settings settings;
    int32_t prompt[PROMPT_TOKENS];
    int64_t n_prompt = PROMPT_TOKENS, longest = job->config.max_position_embeddings;
    sample_printer sample = {.out = job->session->rank == 0 ? job->screen : NULL,
                             .tokenizer = job->tokenizer,
                             .are_bytes = ringmoe_tokens_are_bytes(text) &&
                                          job->config.vocab_size <= TEXT_VOCABULARY};
    smaller(&n_prompt, ringmoe_tokens_count(text));
    smaller(&n_prompt, job->options.train.seq_len);
    smaller(&n_prompt, longest / 2);
    if (n_prompt < 1 || job->options.sample_tokens == 0) return;
    ringmoe_generate_settings_default(&settings);
    settings.seed = job->options.train.seed;
    settings.max_new_tokens = job->options.sample_tokens;
    smaller(&settings.max_new_tokens, longest - n_prompt);
    int status = session_check(job->session, ringmoe_tokens_read(text, 0, n_prompt, prompt));
    if (status) return;
    if (sample.out) {
        text_stream_begin(&sample.stream, sample.out);
        fprintf(sample.out, "\nA sample; the first %lld tokens are the held-out text's:\n\n",
                (long long)n_prompt);
    }
    for (int64_t i = 0; i < n_prompt; i++) print_token(&sample, 0, prompt[i]);
    ringmoe_status problem =
        ringmoe_generate(ringmoe_trainer_model(job->trainer),
                         &(ringmoe_prompt){.tokens = prompt, .n_tokens = n_prompt}, 1,
                         &settings, print_token, &sample, NULL, NULL);
    if (sample.out) text_stream_end(&sample.stream);
    if (sample.out) fputs("\n\n", sample.out);
    if (problem != RINGMOE_ERROR_INTERRUPTED) session_check(job->session, problem);
}

static void print_figures(const train_job *job)
{
    int64_t done = ringmoe_trainer_steps_done(job->trainer);
    if (job->last.step == 0) {
        fprintf(job->screen, "all %lld steps were done before\n", (long long)done);
        return;
    }
    fprintf(job->screen, "\ntrained %lld step%s in %s: loss %.4f", (long long)done,
            done == 1 ? "" : "s", text_duration(train_elapsed(job)).text, job->last.loss);
    if (!isnan(job->val_loss)) {
        fprintf(job->screen, ", validation loss %.4f", job->val_loss);
        if (ringmoe_tokens_are_bytes(job->val))
            fprintf(job->screen, " (%.4f bits per byte)", job->val_loss / M_LN2);
    }
    if (done < job->options.train.steps) fputs("; the time is up", job->screen);
    if (job->progress.chosen > 0)
        fprintf(job->screen, "; %s of %s choices dropped",
                text_count((double)job->progress.dropped).text,
                text_count((double)job->progress.chosen).text);
    fputc('\n', job->screen);
}

static void print_places(const train_job *job)
{
    const char *path = job->run.path;
    fprintf(job->screen,
            "settings    %s/run.json\n"
            "metrics     %s/metrics.jsonl\n"
            "checkpoint  %s/checkpoints/step-%06lld\n"
            "try         %s generate --model %s --prompt \"The \"\n",
            path, path, path, (long long)job->saves.step, job->session->program, path);
}

static json_t *result_to_json(const train_job *job)
{
    json_t *object = json_object();
    json_object_set_new(object, "run", json_string(job->run.path));
    json_object_set_new(object, "steps",
                        json_integer(ringmoe_trainer_steps_done(job->trainer)));
    json_object_set_new(object, "seconds", json_number(train_elapsed(job)));
    if (job->last.step > 0) json_object_set_new(object, "loss", json_number(job->last.loss));
    if (job->last.step > 0) {
        json_object_set_new(object, "load_max_over_mean",
                            json_number(job->last.load_max_over_mean));
        json_object_set_new(object, "dead_experts", json_integer(job->last.dead_experts));
    }
    if (!isnan(job->val_loss))
        json_object_set_new(object, "val_loss", json_number(job->val_loss));
    if (job->progress.chosen > 0)
        json_object_set_new(object, "dropped", json_integer(job->progress.dropped));
    return object;
}

int train_finish(train_job *job)
{
    bool is_first = job->session->rank == 0;
    int status = EXIT_DONE;
    bool is_whole = ringmoe_trainer_steps_done(job->trainer) >= job->options.train.steps;
    if (is_first && !run_set_state(&job->run, is_whole ? "finished" : "stopped"))
        status = EXIT_FAILED;
    status = session_settle(job->session, status, job->run.error);
    if (status) return status;
    job->finished = true;
    if (is_first) print_figures(job);
    if (is_first) train_print_load(job);
    /* A sample that fails says why, and the run is finished all the same. */
    print_sample(job);
    if (is_first) print_places(job);
    if (is_first && job->options.json)
        return session_print_json(job->session, result_to_json(job));
    return EXIT_DONE;
}
