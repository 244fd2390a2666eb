/* SPDX-License-Identifier: MIT
 *
 * A text is the same alone and beside others: for weights in every form, as they are loaded
 * from a folder, on every layout, whatever the number of texts made together; for a family with
 * a shared expert and one without experts too.
 */
#include "text_world.h"

static int expert_ranks_of(const ringmoe_model_config *config, int ranks)
{
    return config->num_local_experts > 0 ? ranks : 1;
}

/* Layouts of these ranks; how many. */
static int list_layouts(const ringmoe_model_config *config, ringmoe_mesh_dims layouts[3])
{
    int expert = expert_ranks_of(config, 2), rest = size / 2 / expert;
    if (size == 1) {
        layouts[0] = (ringmoe_mesh_dims){1, 1, 1, 1};
        return 1;
    }
    if (size == 2) {
        layouts[0] = (ringmoe_mesh_dims){1, 2 / expert, expert, 1};
        layouts[1] = (ringmoe_mesh_dims){1, 1, 1, 2};
        layouts[2] = (ringmoe_mesh_dims){2, 1, 1, 1};
        return 3;
    }
    layouts[0] = (ringmoe_mesh_dims){1, rest, expert, 2};
    layouts[1] = (ringmoe_mesh_dims){2, rest, expert, 1};
    return 2;
}

/* Always with three places, which become free for other texts; sometimes with one or with a
 * place for each. */
static void check_form(const ringmoe_model_config *config, ringmoe_weights weights)
{
    static const int64_t at_a_time[] = {3, 1, N_TEXTS};
    int n_times = config->family == RINGMOE_FAMILY_MIXTRAL && size <= 2 ? 3 : 1;
    struct world world;
    struct text expected[N_TEXTS];
    ringmoe_mesh_dims layouts[3];
    ringmoe_load_settings settings = settings_of(weights, 1);
    world_open(&world, MPI_COMM_SELF, (ringmoe_mesh_dims){1, 1, 1, 1},
               config->num_local_experts, &settings);
    int32_t stop = make_alone(&world, expected);
    world_close(&world);
    for (int n = list_layouts(config, layouts), i = 0; i < n; i++)
        for (int j = 0; j < n_times; j++) {
            settings = settings_of(weights, at_a_time[j]);
            world_open(&world, MPI_COMM_WORLD, layouts[i], config->num_local_experts,
                       &settings);
            check_together(&world, stop, expected);
            world_close(&world);
        }
}

static void test_forms(void)
{
    static const int families[] = {RINGMOE_FAMILY_MIXTRAL, RINGMOE_FAMILY_QWEN2_MOE,
                                   RINGMOE_FAMILY_LLAMA};
    static const ringmoe_weights forms[] = {RINGMOE_WEIGHTS_FP32, RINGMOE_WEIGHTS_BF16,
                                            RINGMOE_WEIGHTS_Q8_0, RINGMOE_WEIGHTS_Q4_0};
    for (int i = 0; i < 3; i++) {
        ringmoe_model_config config = config_of(families[i]);
        make_folder(&config);
        for (int j = 0; j < 4; j++) check_form(&config, forms[j]);
        remove_folder();
    }
}

int main(int argc, char **argv)
{
    begin(&argc, &argv);
    test_forms();
    return check_finish("generate_formats");
}
