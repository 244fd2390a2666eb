/* SPDX-License-Identifier: MIT
 *
 * What `ringmoe info` tells of a model beside its memory: family, sizes, positions, vocabulary,
 * and of a folder or a GGUF file its tensors and its tokenizer.
 */
#include "info.h"

#include <stdio.h>
#include <sys/stat.h>

#include "run.h"
#include "text.h"

static const char *const rope_types[] = {"", ", linear", ", llama3"};

/* "1024 tokens, rope theta 500000, llama3 8 times beyond 8192" */
static void print_context(const ringmoe_model_config *config)
{
    printf("context      %d tokens, rope theta %.10g%s", config->max_position_embeddings,
           config->rope_theta, rope_types[config->rope_type]);
    if (config->rope_type) printf(" %.10g times", config->rope_factor);
    if (config->rope_original_positions) printf(" beyond %d", config->rope_original_positions);
    printf("\n");
}

static void print_experts(const ringmoe_model_config *config)
{
    int n_dense = 0;
    for (int i = 0; i < config->num_hidden_layers; i++) n_dense += config->is_dense_layer[i];
    if (!config->num_local_experts || n_dense > 0)
        printf("dense        %d features inside%s", config->dense_intermediate_size,
               config->num_local_experts ? "" : "\n");
    if (config->num_local_experts && n_dense > 0) printf(", in %d layers\n", n_dense);
    if (!config->num_local_experts) return;
    printf("experts      %d of %d, top-%d%s", config->num_local_experts,
           config->intermediate_size, config->num_experts_per_tok,
           config->router_unnormalized ? ", their weights as the router gives them" : "");
    if (config->shared_expert_intermediate_size)
        printf(", and a shared one of %d", config->shared_expert_intermediate_size);
    printf("\n");
}

void info_print_config(const ringmoe_model_config *config)
{
    static const char *const norms[] = {"", ", queries and keys normed by head",
                                        ", queries and keys normed by row"};
    printf("family       %s\n", ringmoe_family_name(config->family));
    printf("parameters   %s, %s active a token\n",
           text_count((double)ringmoe_model_config_parameters(config)).text,
           text_count((double)ringmoe_model_config_active_parameters(config)).text);
    printf("layers       %d of %d features, %d heads of %d, %d key-value heads%s%s\n",
           config->num_hidden_layers, config->hidden_size, config->num_attention_heads,
           config->head_dim, config->num_key_value_heads, norms[config->qk_norm],
           config->qkv_bias ? ", with biases" : "");
    if (config->clip_qkv > 0)
        printf("             queries, keys and values cut to +-%.10g\n", config->clip_qkv);
    print_experts(config);
    print_context(config);
    printf("vocabulary   %d ids, %s head\n", config->vocab_size,
           config->tie_word_embeddings ? "tied" : "its own");
}

void info_print_tensors(const ringmoe_model_files *files)
{
    for (int i = 0; i < files->n_types; i++)
        printf("%lld %s (%s), ", (long long)files->types[i].n_tensors, files->types[i].name,
               text_bytes((double)files->types[i].bytes).text);
    printf("in %d file%s\n", files->n_files, files->n_files > 1 ? "s" : "");
}

static bool adds_bos(ringmoe_tokenizer *tokenizer)
{
    int64_t n = 0;
    return ringmoe_tokenizer_encode(tokenizer, "", 0, RINGMOE_ENCODE_FRAME, NULL, 0, &n) ==
               RINGMOE_OK &&
           n > 0;
}

static void print_id(const char *what, int id)
{
    if (id >= 0) printf(", %s %d", what, id);
}

static void print_tokenizer(ringmoe_tokenizer *tokenizer)
{
    bool is_bytes = ringmoe_tokenizer_get_kind(tokenizer) == RINGMOE_TOKENIZER_BYTES;
    printf("tokenizer    byte-pair encoding over %s, %d ids", is_bytes ? "bytes" : "characters",
           ringmoe_tokenizer_vocab_size(tokenizer));
    print_id("begin", ringmoe_tokenizer_bos(tokenizer));
    print_id("end", ringmoe_tokenizer_eos(tokenizer));
    print_id("padding", ringmoe_tokenizer_padding(tokenizer));
    printf("%s%s\n", adds_bos(tokenizer) ? ", put around texts" : "",
           ringmoe_tokenizer_chat_template(tokenizer) ? ", chat template" : "");
}

static json_t *tokenizer_to_json(ringmoe_tokenizer *tokenizer)
{
    bool is_bytes = ringmoe_tokenizer_get_kind(tokenizer) == RINGMOE_TOKENIZER_BYTES;
    return json_pack("{s:s, s:i, s:i, s:i, s:b, s:b}", "kind",
                     is_bytes ? "bytes" : "characters", "vocab_size",
                     ringmoe_tokenizer_vocab_size(tokenizer), "bos",
                     ringmoe_tokenizer_bos(tokenizer), "eos", ringmoe_tokenizer_eos(tokenizer),
                     "adds_frame", adds_bos(tokenizer), "chat_template",
                     ringmoe_tokenizer_chat_template(tokenizer) != NULL);
}

static json_t *tensors_to_json(const ringmoe_model_files *files)
{
    json_t *types = json_object();
    for (int i = 0; i < files->n_types; i++)
        json_object_set_new(types, files->types[i].name,
                            json_pack("{s:I, s:I}", "tensors",
                                      (json_int_t)files->types[i].n_tensors, "bytes",
                                      (json_int_t)files->types[i].bytes));
    return json_pack("{s:i, s:I, s:I, s:o}", "files", files->n_files, "tensors",
                     (json_int_t)files->n_tensors, "bytes", (json_int_t)files->bytes, "types",
                     types);
}

void info_files_close(info_files *found)
{
    ringmoe_tokenizer_destroy(&found->tokenizer);
}

/* A folder may have nothing but a config.json. */
static bool has_files(const char *path)
{
    static const char *const names[] = {"/model.safetensors", "/model.safetensors.index.json"};
    struct stat about;
    if (stat(path, &about) == 0 && !S_ISDIR(about.st_mode)) return true;
    for (int i = 0; i < 2; i++) {
        char name[SOURCE_PATH + 40];
        snprintf(name, sizeof name, "%s%s", path, names[i]);
        if (stat(name, &about) == 0) return true;
    }
    return false;
}

bool info_is_model(const char *path)
{
    char name[SOURCE_PATH + 16];
    struct stat about;
    snprintf(name, sizeof name, "%s/manifest.json", path);
    return stat(name, &about) != 0 && !run_exists(path) && stat(path, &about) == 0 &&
           has_files(path);
}

int info_files_open(tool_session *session, const char *model, info_files *found)
{
    char path[SOURCE_PATH];
    *found = (info_files){.tokenizer = NULL};
    int status = source_find(session, model, path, &found->has_weights);
    found->has_weights = found->has_weights && has_files(path);
    if (status || !found->has_weights) return status;
    status = session_check(session,
                           ringmoe_model_files_describe(session->context, path, &found->files));
    if (status || session->rank != 0) return status;
    ringmoe_status opened = ringmoe_tokenizer_open(session->context, path, &found->tokenizer);
    if (opened != RINGMOE_OK && source_may_have_tokenizer(path) &&
        opened != RINGMOE_ERROR_STATE)
        snprintf(found->why, sizeof found->why, "%.250s",
                 ringmoe_context_error(session->context));
    return EXIT_DONE;
}

void info_files_print(const info_files *found)
{
    if (!found->has_weights) return;
    printf("tensors      ");
    info_print_tensors(&found->files);
    if (found->tokenizer)
        print_tokenizer(found->tokenizer);
    else if (found->why[0])
        printf("tokenizer    not read: %s\n", found->why);
    else
        printf("tokenizer    none\n");
}

void info_files_to_json(const info_files *found, json_t *object)
{
    if (!found->has_weights) return;
    json_object_set_new(object, "weights", tensors_to_json(&found->files));
    json_object_set_new(object, "tokenizer",
                        found->tokenizer ? tokenizer_to_json(found->tokenizer) : json_null());
    if (found->why[0])
        json_object_set_new(object, "tokenizer_not_read", json_string(found->why));
}
