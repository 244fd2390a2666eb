/* SPDX-License-Identifier: MIT
 *
 * Layouts in words, and the list that is tried if none is given. The words of a layout are its
 * axes joined by x, then, behind colons, whatever is not as usual:
 *
 *   serial    pp2xdp2    ep4:zb-h1    pp2xtp2:interleaved:chunks2:full:reproducible:threads2
 */
#include "verify.h"

#include <stdlib.h>
#include <string.h>

/* The axes in their order, and the numbers behind a colon. */
typedef struct number_word {
    const char *word;
    size_t offset;
} number_word;

static const number_word axes[] = {
    {"pp", offsetof(verify_layout, dims.pipeline)},
    {"dp", offsetof(verify_layout, dims.data)},
    {"ep", offsetof(verify_layout, dims.expert)},
    {"tp", offsetof(verify_layout, dims.tensor)},
};
enum { N_AXES = sizeof axes / sizeof axes[0] };

static const number_word numbers[] = {
    {"chunks", offsetof(verify_layout, chunks)},
    {"threads", offsetof(verify_layout, threads)},
    {"nodes", offsetof(verify_layout, nodes)},
};

static const verify_layout serial = {.dims = {1, 1, 1, 1}};
static const char *const one_rank = "serial";

static int number_of(const verify_layout *layout, const number_word *word)
{
    return *(const int *)((const char *)layout + word->offset);
}

int verify_layout_ranks(const verify_layout *layout)
{
    int64_t ranks = 1;
    for (int i = 0; i < N_AXES; i++) {
        ranks *= number_of(layout, &axes[i]);
        if (ranks > INT32_MAX) return INT32_MAX;
    }
    return (int)ranks;
}

static int *number_at(verify_layout *layout, const number_word *word)
{
    return (int *)((char *)layout + word->offset);
}

void verify_layout_name(const verify_layout *layout, char name[VERIFY_NAME])
{
    size_t used = 0;
    name[0] = '\0';
#define ADD(...) used += (size_t)snprintf(name + used, VERIFY_NAME - used, __VA_ARGS__)
    for (int i = 0; i < N_AXES; i++)
        if (number_of(layout, &axes[i]) > 1)
            ADD("%s%s%d", used ? "x" : "", axes[i].word, number_of(layout, &axes[i]));
    if (used == 0) ADD("%s", one_rank);
    if (layout->schedule[0]) ADD(":%s", layout->schedule);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (number_of(layout, &numbers[i]) > 0)
            ADD(":%s%d", numbers[i].word, number_of(layout, &numbers[i]));
    if (layout->recompute) ADD(":%s", recompute_name(layout->recompute));
    if (layout->reproducible) ADD(":reproducible");
    if (layout->shadow) ADD(":shadow");
    if (layout->seed) ADD(":seed%lld", (long long)layout->seed);
#undef ADD
}

/* "pp12" with the word "pp": 12; 0 if it is something else. */
static int64_t number_behind(const char *text, const char *word)
{
    size_t length = strlen(word);
    char *end;
    if (strncmp(text, word, length) != 0) return 0;
    if (text[length] < '1' || text[length] > '9') return 0;
    long long number = strtoll(text + length, &end, 10);
    return *end == '\0' && number <= 1 << 20 ? number : 0;
}

/* "pp2xdp2" or "serial". */
static bool read_axes(char *text, verify_layout *layout)
{
    char *rest = NULL;
    bool is_seen[N_AXES] = {false};
    if (strcmp(text, one_rank) == 0) return true;
    if (*text == '\0') return false;
    for (char *part = strtok_r(text, "x", &rest); part; part = strtok_r(NULL, "x", &rest)) {
        int axis = 0;
        while (axis < N_AXES && number_behind(part, axes[axis].word) == 0) axis++;
        if (axis == N_AXES || is_seen[axis]) return false;
        is_seen[axis] = true;
        *number_at(layout, &axes[axis]) = (int)number_behind(part, axes[axis].word);
    }
    return true;
}

static bool is_schedule(const char *word)
{
    char text[256];
    const tool_execution execution = {.schedule = word};
    return *word && execution_check(&execution, text, sizeof text);
}

/* One word behind a colon. */
static bool read_word(const char *word, verify_layout *layout)
{
    for (int recompute = 0; recompute < 3; recompute++)
        if (strcmp(word, recompute_name(recompute)) == 0) {
            layout->recompute = recompute;
            return true;
        }
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (number_behind(word, numbers[i].word)) {
            *number_at(layout, &numbers[i]) = (int)number_behind(word, numbers[i].word);
            return true;
        }
    if (strcmp(word, "reproducible") == 0) {
        layout->reproducible = 1;
        return true;
    }
    if (strcmp(word, "shadow") == 0) {
        layout->shadow = 1;
        return true;
    }
    layout->seed = number_behind(word, "seed");
    if (layout->seed) return true;
    if (!is_schedule(word)) return false;
    snprintf(layout->schedule, sizeof layout->schedule, "%s", word);
    return true;
}

static bool read_layout(char *text, verify_layout *layout, char *line, size_t size)
{
    char *rest = NULL, copy[VERIFY_NAME];
    snprintf(copy, sizeof copy, "%s", text);
    *layout = serial;
    char *head = strtok_r(text, ":", &rest);
    if (!head || !read_axes(head, layout)) {
        snprintf(line, size,
                 "--layouts %.80s: give axes joined by x, as in pp2xdp2, ep4 or serial", copy);
        return false;
    }
    for (char *word; (word = strtok_r(NULL, ":", &rest));)
        if (!read_word(word, layout)) {
            snprintf(line, size,
                     "--layouts %.60s: unknown word %.40s: a schedule, none, selective, full, "
                     "reproducible, shadow, chunksN, threadsN, nodesN or seedN",
                     copy, word);
            return false;
        }
    return true;
}

bool verify_layouts_parse(const char *list, verify_layouts *layouts, char *text, size_t size)
{
    layouts->count = 0;
    for (const char *at = list;; at++) {
        char one[VERIFY_NAME];
        size_t length = strcspn(at, ",");
        if (length >= sizeof one || layouts->count == VERIFY_MAX_LAYOUTS) {
            snprintf(text, size, "--layouts: %s",
                     length >= sizeof one ? "a layout is too long"
                                          : "more than 256 layouts: give fewer");
            return false;
        }
        memcpy(one, at, length);
        one[length] = '\0';
        if (!read_layout(one, &layouts->rows[layouts->count++], text, size)) return false;
        at += length;
        if (*at == '\0') return true;
    }
}

/* Whether the work can be divided so: what the library would refuse. */
static bool fits(const verify_layout *layout, const verify_work *work)
{
    const ringmoe_model_config *config = &work->config;
    const ringmoe_mesh_dims *dims = &layout->dims;
    int64_t microbatches = work->train.global_batch / work->train.microbatch;
    int stages = dims->pipeline * (layout->chunks ? layout->chunks : 1);
    bool has_experts = config->num_local_experts > 0;
    return stages <= config->num_hidden_layers &&
           microbatches % (dims->data * dims->expert) == 0 &&
           (has_experts ? config->num_local_experts % dims->expert == 0 : dims->expert == 1) &&
           config->num_key_value_heads % dims->tensor == 0 &&
           (!layout->reproducible || 4 % dims->tensor == 0);
}

static void add(const verify_layout *layout, const verify_work *work, verify_layouts *layouts)
{
    if (!fits(layout, work))
        layouts->n_unfit++;
    else if (layouts->count == VERIFY_MAX_LAYOUTS)
        layouts->n_beyond++;
    else
        layouts->rows[layouts->count++] = *layout;
}

/* Tensor ranks change the bits unless they are told not to, so both ways are tried. */
static void add_both(verify_layout layout, const verify_work *work, verify_layouts *layouts)
{
    add(&layout, work, layouts);
    if (layout.dims.tensor == 1 || layout.reproducible) return;
    layout.reproducible = 1;
    add(&layout, work, layouts);
}

/* Schedules of a training in turns; "interleaved" with two chunks a rank. */
static void take_schedule(int turn, verify_layout *layout)
{
    const char *names[32];
    int count = 0;
    for (const char *const *name = ringmoe_schedule_names(); *name && count < 32; name++)
        if (is_schedule(*name)) names[count++] = *name;
    snprintf(layout->schedule, sizeof layout->schedule, "%s", names[turn % count]);
    layout->chunks = strcmp(layout->schedule, "interleaved") == 0 ? 2 : 1;
}

static int count_schedules(void)
{
    int count = 0;
    for (const char *const *name = ringmoe_schedule_names(); *name; name++)
        count += is_schedule(*name);
    return count;
}

/* One way of splitting the ranks: a whole pipeline with every schedule, others with the next
 * in turn; and where all share the experts, with copies of hot ones, and as if each rank had a
 * node of its own. */
static void add_split(verify_layout layout, const verify_work *work, verify_layouts *layouts)
{
    int turn = layouts->count;
    int n_ranks = verify_layout_ranks(&layout);
    bool is_whole = layout.dims.pipeline == n_ranks;
    int n_schedules = layout.dims.pipeline > 1 && is_whole ? count_schedules() : 1;
    for (int i = 0; i < n_schedules; i++) {
        layout.recompute = (turn + i) % 3;
        layout.shadow = layout.dims.expert > 1 && layout.dims.expert < n_ranks && turn % 2;
        if (layout.dims.pipeline > 1) take_schedule(turn + i, &layout);
        add_both(layout, work, layouts);
    }
    if (layout.dims.expert < n_ranks) return;
    layout.shadow = 1;
    add(&layout, work, layouts);
    layout.nodes = n_ranks;
    add(&layout, work, layouts);
    layout.shadow = 0;
    add(&layout, work, layouts);
}

void verify_layouts_default(int n_ranks, const verify_work *work, int reproducible,
                            verify_layouts *layouts)
{
    verify_layout first = serial;
    first.reproducible = reproducible;
    *layouts = (verify_layouts){.count = 0};
    if (n_ranks == 1) {
        const char *text =
            "serial:threads2,serial:chunks2,serial:chunks3:selective,serial:full,"
            "serial:threads2:full:reproducible";
        char unused[256];
        verify_layouts_parse(text, layouts, unused, sizeof unused);
        for (int i = 0; reproducible && i < layouts->count; i++)
            layouts->rows[i].reproducible = 1;
    }
    for (int p = 1; n_ranks > 1 && p <= n_ranks; p++)
        for (int d = 1; n_ranks % p == 0 && d <= n_ranks / p; d++)
            for (int e = 1; n_ranks / p % d == 0 && e <= n_ranks / p / d; e++) {
                verify_layout layout = first;
                if (n_ranks / p / d % e) continue;
                layout.dims = (ringmoe_mesh_dims){p, d, e, n_ranks / p / d / e};
                add_split(layout, work, layouts);
            }
}
