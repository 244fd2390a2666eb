/* SPDX-License-Identifier: MIT
 *
 * A rank's part of a parameter, from the file that has the whole: in threads, a stretch of the
 * file at a time.
 */
#ifndef RM_PART_READ_H
#define RM_PART_READ_H

#include "model/parts.h"
#include "model/weight_place.h"
#include "tensor/compute.h"

/* Elements [first, first + n) of the part into `values`. FILE if the file became shorter. */
ringmoe_status rm_part_read(const rm_compute *compute, const rm_weight_place *place,
                            const rm_parameter *parameter, const rm_parameter_part *part,
                            int64_t first, int64_t n, rm_real *values, rm_error *error);
/* Likewise, as the file has them: the part is of whole rows, elements [0, n_elements) of which
 * are whole blocks. */
ringmoe_status rm_part_copy(const rm_compute *compute, const rm_weight_place *place,
                            const rm_parameter *parameter, const rm_parameter_part *part,
                            void *stored, rm_error *error);
/* The first by the calling thread alone; any number of threads may call it at once, each with a
 * buffer of its own. */
ringmoe_status rm_part_read_here(const rm_kernels *kernels, const rm_weight_place *place,
                                 const rm_parameter *parameter, const rm_parameter_part *part,
                                 int64_t first, int64_t n, rm_real *values,
                                 rm_read_buffer *buffer, rm_error *error);
/* Has the disk begin to read the stretch of the file that has these elements of the part; of a
 * part of columns also those of other ranks that lie between. It is asked for in one piece:
 * piece by piece, which are as many requests as rows, took longer on an SSD where little lay
 * between them, and another rank of the node wants the rest. */
void rm_part_ask(const rm_weight_place *place, const rm_parameter *parameter,
                 const rm_parameter_part *part, int64_t at, int64_t n);
/* The stretch of the file that has these elements of the part, as it is stored; their number is
 * the caller's to bound. */
ringmoe_status rm_part_load(const rm_weight_place *place, const rm_parameter *parameter,
                            const rm_parameter_part *part, int64_t at, int64_t n,
                            rm_read_buffer *buffer, rm_tensor_window *window, rm_error *error);

#endif
