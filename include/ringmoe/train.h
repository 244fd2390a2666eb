/* SPDX-License-Identifier: MIT
 *
 * Training a language model: data order, gradient accumulation, AdamW, metrics, checkpoints.
 *
 * The layout does not change the answer: with the same seed, global batch and microbatch,
 * losses and weights are the same to the last bit for any number of threads, of pipeline, data
 * and expert ranks and any schedule; with `reproducible` also for 1, 2 and 4 tensor ranks.
 */
#ifndef RINGMOE_TRAIN_H
#define RINGMOE_TRAIN_H

#include <ringmoe/data.h>
#include <ringmoe/model.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ringmoe_trainer ringmoe_trainer;

typedef struct ringmoe_train_settings {
    int64_t steps;        /**< optimizer steps, 1..10^9; the learning rate's decay ends there;
                             default 1000 */
    int64_t seq_len;      /**< tokens of a sequence, 1..max_position_embeddings; default 256 */
    int64_t microbatch;   /**< sequences of a microbatch, the unit of accumulation, 1..2^24;
                             default 4 */
    int64_t global_batch; /**< sequences of a step over all ranks, 1..2^30; a multiple of
                             microbatch times data times expert ranks, at most 65536
                             microbatches; default 16 */
    double lr;            /**< peak learning rate, 0..1e30; default 1e-3 */
    double lr_min_ratio;  /**< final rate / peak rate, 0..1; default 0.1 */
    int64_t warmup_steps; /**< linear: step i of them has lr * i / warmup_steps; default 20 */
    double weight_decay;  /**< decoupled; none on norms; at least 0; default 0.1 */
    double beta1, beta2;  /**< AdamW, 0..0.999999; defaults 0.9, 0.95 */
    double epsilon;       /**< 1e-30..1; default 1e-8 */
    double clip_norm;     /**< global gradient norm; 0: no clipping; default 1 */
    int64_t seed;         /**< of weights, data order and router noise; default 0 */
    /* How the work is laid out; of these only `reproducible` has a part in the answer's bits.
     */
    char schedule[16];    /**< of the pipeline, one of ringmoe_schedule_names but "forward"; ""
                               (default): "1f1b", with several chunks "interleaved" */
    int64_t chunks;       /**< chunks of the model a rank has, 0..64; 0 (default): 1, or on one
                             pipeline rank with several data or expert ranks up to 4, so that
                             gradients of a chunk travel while earlier layers go backward */
    int64_t recompute;    /**< a ringmoe_recompute; default RINGMOE_RECOMPUTE_NONE */
    int64_t reproducible; /**< 1: sums over inner dimensions are made in fixed blocks, so that
                             1, 2 or 4 tensor ranks give the same bits; 0 (default): in one
                             go */
    int64_t shadow;       /**< a ringmoe_shadow; default RINGMOE_SHADOW_OFF */
} ringmoe_train_settings;

/** Hot experts of which every expert rank has a copy for a step, at most two a layer, so that
 * the rank that owns them is not the one all others wait for. The answer is the same to the
 * bit. */
typedef enum ringmoe_shadow {
    RINGMOE_SHADOW_OFF = 0,
    RINGMOE_SHADOW_AUTO = 1, /**< those that make the step clearly shorter, by the loads and the
                                  times of products and exchanges in the last steps */
    RINGMOE_SHADOW_ON = 2,   /**< the two hottest of each layer */
} ringmoe_shadow;

/** Activations that are made again in the backward pass instead of being kept. The answer is
 * the same to the bit. */
typedef enum ringmoe_recompute {
    RINGMOE_RECOMPUTE_NONE = 0,
    RINGMOE_RECOMPUTE_SELECTIVE = 1, /**< what costs next to nothing: normed inputs, products of
                                          gate and up */
    RINGMOE_RECOMPUTE_FULL = 2,      /**< whole layers, from their inputs. With zb-h1, whose
                                          weights' half needs them kept, SELECTIVE is in force */
} ringmoe_recompute;

/** Fills every field with its default. Local. */
RINGMOE_API void ringmoe_train_settings_default(ringmoe_train_settings *settings);

/** One step's measurements: the same on every rank, except the times, which are this rank's;
 * compute_ms is what the other times leave of step_ms. */
typedef struct ringmoe_step_metrics {
    int64_t step;        /**< 1 after the first step */
    double loss;         /**< mean cross-entropy in nats a token over the global batch */
    double balance_loss; /**< mean over microbatches and MoE layers; 1 is perfect balance */
    double z_loss;       /**< likewise, logsumexp^2 */
    double grad_norm;    /**< before clipping */
    double lr;
    int64_t tokens; /**< of this step, over all ranks */
    double tokens_per_s;
    double step_ms, compute_ms, exchange_ms, wait_ms, optimizer_ms;
    double load_max_over_mean; /**< the worst layer's, experts' counts of the global batch */
    int64_t n_dropped;    /**< choices dropped by the capacity, over all ranks and layers */
    double load_cv;       /**< the worst layer's coefficient of variation, of the same counts */
    int64_t dead_experts; /**< experts without a token in the global batch, over all layers */
    int64_t bytes_within_nodes, bytes_between_nodes; /**< moved by token exchanges, summed over
                                                          all ranks */
    double pipeline_wait_ms;  /**< for activations and gradients of other stages; not in wait_ms
                               */
    int64_t shadowed_experts; /**< copied to all expert ranks in this step, over all layers */
} ringmoe_step_metrics;

/** How a layer's experts were loaded by the last finished step's global batch. */
typedef struct ringmoe_layer_load {
    int64_t n_tokens;     /**< choices over all experts; 0: a dense layer, or no step yet */
    double max_over_mean; /**< of the experts' counts; 1 is perfect */
    double cv;            /**< standard deviation over mean; 0 is perfect */
    int64_t dead_experts; /**< experts without a token */
} ringmoe_layer_load;

/**
 * Makes a model with initial weights and the state to train it. Collective over the mesh.
 *   data  in  must outlive the trainer; longer than one sequence; the same on every rank
 * Returns OK; ARGUMENT (names the setting); LAYOUT; FORMAT (text shorter than a sequence);
 * MISMATCH (ranks have different data or settings); MEMORY; MPI.
 */
RINGMOE_API ringmoe_status ringmoe_trainer_create(ringmoe_mesh *mesh,
                                                  const ringmoe_model_config *config,
                                                  const ringmoe_train_settings *settings,
                                                  const ringmoe_tokens *data,
                                                  ringmoe_trainer **trainer);
/** Frees a trainer. A save that is still under way is given up, and nothing of it stays: to
 * have it, wait for it with ringmoe_trainer_save_poll. Collective. NULL or *trainer NULL:
 * nothing. */
RINGMOE_API void ringmoe_trainer_destroy(ringmoe_trainer **trainer);

/**
 * One optimizer step. Collective.
 *   metrics  out  or NULL
 * Returns OK; ARGUMENT (NULL); NUMERIC (a loss or the gradient norm is not finite; weights and
 * moments stay those before the step); MISMATCH; MPI; MEMORY.
 *
 * On NUMERIC step, loss, lr and grad_norm of the metrics are filled in and tell what happened:
 *   - loss not finite: the weights in memory give no loss, so the step before this one has
 *     spoilt them; grad_norm is NaN, and the message names the first layer that is not finite.
 *     Go back to a checkpoint
 *   - loss finite, grad_norm not: the weights in memory are good and may be saved; the backward
 *     pass overflowed. The message names the parameter. Lower the rate before going on
 */
RINGMOE_API ringmoe_status ringmoe_trainer_step(ringmoe_trainer *trainer,
                                                ringmoe_step_metrics *metrics);

/**
 * The load of a layer's experts in the last finished step. Local; the same on every rank.
 * Returns OK; ARGUMENT (NULL, no such layer).
 */
RINGMOE_API ringmoe_status ringmoe_trainer_layer_load(const ringmoe_trainer *trainer, int layer,
                                                      ringmoe_layer_load *load);
/**
 * How long each rank waited for others in the last finished step up to its gradient norm, in
 * milliseconds: wait_ms [ranks of the context]. Local; the same on every rank.
 * Returns OK; ARGUMENT (NULL).
 */
RINGMOE_API ringmoe_status ringmoe_trainer_waits(const ringmoe_trainer *trainer,
                                                 double *wait_ms);

/** Ways through the space of weights along which a gradient is checked. */
typedef enum ringmoe_direction {
    RINGMOE_DIRECTION_GRADIENT = 0, /**< the gradient itself, along which the loss changes most;
                                         tells nothing of parts that are missing from it */
    RINGMOE_DIRECTION_SIGNS = 1,    /**< 1 or -1 at each element, fixed by its global index, as
                                         in a digest's projection; what is missing shows */
} ringmoe_direction;

/**
 * Compares the gradient with the loss itself, in the manner of a finite difference, on the next
 * step's global batch: the loss with its auxiliary parts at w + step * u and w - step * u,
 * where u is a direction in one parameter, or in all, scaled to length 1. The weights are
 * afterwards what they were, bit for bit, and no step is counted; the last step's gradients are
 * forgotten. Collective. Needs as much memory again as weights and gradients.
 *   parameter      in   index below ringmoe_trainer_parameter_count; -1: the whole model
 *   step           in   > 0, a length in the space of weights
 *   from_gradient  out  the gradient's part along u: along itself its length, along signs the
 *                       projection over the root of the number of elements
 *   from_losses    out  (difference of the losses) / (2 * step), which should be close to it
 * Returns OK; ARGUMENT; NUMERIC; MISMATCH; MEMORY; MPI.
 */
RINGMOE_API ringmoe_status ringmoe_trainer_check_gradient(ringmoe_trainer *trainer,
                                                          int parameter,
                                                          ringmoe_direction direction,
                                                          double step, double *from_gradient,
                                                          double *from_losses);

/** Bytes of AdamW's moments that this rank keeps: those of its shards. Local. */
RINGMOE_API int64_t ringmoe_trainer_optimizer_bytes(const ringmoe_trainer *trainer);
/** The settings in force: schedule and chunks as they were chosen, recompute as the schedule
 * allows it. Local. */
RINGMOE_API void ringmoe_trainer_settings(const ringmoe_trainer *trainer,
                                          ringmoe_train_settings *settings);
/**
 * How the layers are cut into stages: stage s has layers bounds[s]..bounds[s + 1] - 1, and is
 * chunk s / P of pipeline rank s % P. Local; the same on every rank.
 *   bounds  out  [RINGMOE_MAX_LAYERS + 1], of which stages + 1 are filled; or NULL
 * Returns the number of stages; 0 without a trainer.
 */
RINGMOE_API int ringmoe_trainer_stages(const ringmoe_trainer *trainer, int *bounds);
/** Steps done so far. Local. */
RINGMOE_API int64_t ringmoe_trainer_steps_done(const ringmoe_trainer *trainer);
/** The model being trained; belongs to the trainer. Local. */
RINGMOE_API ringmoe_model *ringmoe_trainer_model(ringmoe_trainer *trainer);

/**
 * A hash of all weights as 16 hex digits, the same for any layout. All copies that ranks have
 * of a weight are compared first. Collective; each rank gets it.
 * Returns OK; ARGUMENT (NULL); MISMATCH (a copy differs: the message names the parameter and
 * the first rank); MEMORY; MPI.
 */
RINGMOE_API ringmoe_status ringmoe_trainer_weights_hash(ringmoe_trainer *trainer, char hex[17]);

typedef enum ringmoe_digest_kind {
    RINGMOE_DIGEST_WEIGHTS = 0,
    RINGMOE_DIGEST_GRADIENTS = 1, /**< of the last step, before clipping */
} ringmoe_digest_kind;

/** One parameter in short. */
typedef struct ringmoe_parameter_digest {
    char name[128];
    int64_t n_elements;
    char hash[17];     /**< of all bits, the same for any layout */
    double norm;       /**< square root of the sum of squares */
    double projection; /**< sum of the values, each times 1 or -1 by its global index */
} ringmoe_parameter_digest;

/** Parameters of the whole model. Local; the same on every rank. */
RINGMOE_API int ringmoe_trainer_parameter_count(const ringmoe_trainer *trainer);
/**
 * Digests of all parameters in the model's order, digests [ringmoe_trainer_parameter_count], on
 * every rank. Of weights all copies are compared first, and the packed forms, which are made
 * again, with those that were there. Collective.
 * Returns OK; ARGUMENT (NULL); STATE (gradients before the first step); MISMATCH (the ranks ask
 * for different kinds; a copy or a packed form differs: the message names the parameter and the
 * first rank); MEMORY; MPI.
 */
RINGMOE_API ringmoe_status ringmoe_trainer_digests(ringmoe_trainer *trainer,
                                                   ringmoe_digest_kind kind,
                                                   ringmoe_parameter_digest *digests);

/**
 * Checkpoints carry the files of a tokenizer from now on (ringmoe_tokenizer_save), so that what
 * loads them finds it. Local; rank 0's is the one that counts.
 *   tokenizer  in  must outlive the trainer; NULL: none. One that was not opened from a
 *                  tokenizer.json gets its files with the first save, on rank 0
 */
RINGMOE_API void ringmoe_trainer_set_tokenizer(ringmoe_trainer *trainer,
                                               ringmoe_tokenizer *tokenizer);

/** How a checkpoint is written. */
typedef struct ringmoe_save_settings {
    /**
     * Bytes on each rank between training and the disk. What fits into them is written while
     * training goes on; the rest has been written when ringmoe_trainer_save_start returns.
     * No more are taken than the rank has to write, and they are kept for the next save. What
     * the writing rank has itself is copied into them only if it has not been written when the
     * next step is about to change it. 0: a small buffer; the writing takes the processors it
     * needs. Else it takes a hundredth of one at most, until somebody waits for its end.
     */
    int64_t buffer_bytes;
} ringmoe_save_settings;

/** What became of a save. */
typedef struct ringmoe_save_result {
    int64_t step;           /**< that the checkpoint is of */
    int64_t bytes;          /**< of all its files, over all ranks */
    double seconds;         /**< from the start to the last rename */
    double stalled_seconds; /**< of them training stood still, on the slowest rank */
} ringmoe_save_result;

/**
 * Writes a checkpoint: config.json, model-0000x-of-0000y.safetensors with their index,
 * optimizer-0000x-of-0000y.safetensors, state.json and manifest.json (ringmoe/checkpoint.h), to
 * a temporary folder that is renamed to `folder` when all of it is on the disk. An older
 * checkpoint of that name is replaced. What saves that were cut off left beside it (names that
 * differ from `folder` in their last digits, with .tmp or .old, of folders that hold nothing
 * but a checkpoint's files) is removed. Each tensor is written once and whole, by a rank that
 * holds it, all ranks at a time. Collective. Returns OK; ARGUMENT (no name); STATE (a save is
 * under way; a restore failed midway); FILE (disk full, no permission, a folder that is not a
 * checkpoint; nothing half-written stays, and training can go on); MEMORY; MPI.
 */
RINGMOE_API ringmoe_status ringmoe_trainer_save(ringmoe_trainer *trainer, const char *folder);

/**
 * Takes the memory that saves with these settings need, and touches it; without this call the
 * first of them does, while training stands still. Best called after the first step, whose
 * memory is then taken too. Collective.
 * Returns OK, also if there is enough already; ARGUMENT (settings NULL or negative); STATE (a
 * save is under way); MEMORY: saves with these settings would fail so too.
 */
RINGMOE_API ringmoe_status ringmoe_trainer_save_reserve(ringmoe_trainer *trainer,
                                                        const ringmoe_save_settings *settings);

/**
 * The same beside training: returns as soon as training may go on. The checkpoint is of the
 * step that was done last, whatever is trained meanwhile. Collective.
 * Returns as ringmoe_trainer_save; also ARGUMENT (settings NULL or negative). After a failure
 * no save is under way, but after STATE the one that was.
 */
RINGMOE_API ringmoe_status ringmoe_trainer_save_start(ringmoe_trainer *trainer,
                                                      const char *folder,
                                                      const ringmoe_save_settings *settings);
/**
 * Looks after a save that was started; to be called once a step. When every rank has written
 * its part, rank 0 makes the checkpoint known by its name and *done becomes 1. Collective.
 *   wait    in   1: until it is done
 *   done    out  1: no save is under way any more; after a failure too
 *   result  out  filled in when a save was finished by this call; or NULL
 * Returns as ringmoe_trainer_save: a failure of the save, of which nothing half-written stays,
 * and training can go on. OK and *done 1 if none is under way.
 */
RINGMOE_API ringmoe_status ringmoe_trainer_save_poll(ringmoe_trainer *trainer, int wait,
                                                     int *done, ringmoe_save_result *result);
/** Bytes all ranks together write for one checkpoint, small files aside. Local. */
RINGMOE_API int64_t ringmoe_trainer_checkpoint_bytes(const ringmoe_trainer *trainer);

/**
 * Goes on from a checkpoint, on any layout, to the last bit as if the run had not stopped; with
 * another precision from the same weights and moments. Collective; each rank reads its own
 * parts, and together the ranks compare every byte with the manifest as it comes. What is
 * refused for its state, sizes, names or shapes changes nothing. Damage within the values, and
 * a disk or a network that fails while they are read (FORMAT, FILE, MPI), leave some new and
 * some old (ringmoe_checkpoint_verify would have told): steps and saves then return STATE
 * until a restore has succeeded. If there is no `folder` but the checkpoint that a save was
 * about to replace when it was cut off (`folder`.old), that gets its name back first.
 *
 * Must be the same: the model (every key of config.json), the data (the text's hash, seed), the
 * batch (seq_len, microbatch, global_batch). May be others from here on: steps, lr and all else
 * of the rate and the optimizer, reproducible, precision, kernel level, and what concerns the
 * layout; what changed is logged (INFO).
 *
 * Returns OK; FILE; FORMAT (damaged: a file is missing, cut short or not what was written, a
 * tensor is missing or misshapen: an older checkpoint may be good); ARGUMENT (the first setting
 * of the model, the data or the batch that differs is named, with both values; or the
 * checkpoint is of another version); MEMORY; MPI.
 */
RINGMOE_API ringmoe_status ringmoe_trainer_restore(ringmoe_trainer *trainer,
                                                   const char *folder);
/**
 * Takes the weights alone, from a checkpoint or another folder in Hugging Face's layout; step,
 * moments and data order stay those of a new run. Checked as ringmoe_model_load does; a failure
 * while values are read is as one of ringmoe_trainer_restore. Collective.
 * Returns OK; STATE (steps were done); FILE; FORMAT (as ringmoe_model_load); MEMORY; MPI.
 */
RINGMOE_API ringmoe_status ringmoe_trainer_load_weights(ringmoe_trainer *trainer,
                                                        const char *folder);

typedef struct ringmoe_eval_result {
    double loss;          /**< mean cross-entropy, nats a token */
    double perplexity;    /**< exp(loss) */
    double bits_per_byte; /**< NaN if the tokens are not bytes */
    int64_t tokens;       /**< tokens predicted */
} ringmoe_eval_result;

/**
 * Loss of a model on a stream, cut into consecutive sequences. Collective over the mesh; the
 * result is the same on every rank and layout.
 *   seq_len, microbatch  in  as in training; seq_len * microbatch <= the model's max_tokens
 *   max_sequences        in  0: all of them
 * Returns OK; ARGUMENT; FORMAT (text shorter than a sequence, a token id not below vocab_size);
 * NUMERIC (the loss is not finite: the message names the first layer that is not; `result` is
 * filled in); MISMATCH; MEMORY; MPI.
 */
RINGMOE_API ringmoe_status ringmoe_model_evaluate(ringmoe_model *model,
                                                  const ringmoe_tokens *tokens, int64_t seq_len,
                                                  int64_t microbatch, int64_t max_sequences,
                                                  ringmoe_eval_result *result);

#ifdef __cplusplus
}
#endif
#endif
