/* SPDX-License-Identifier: MIT
 *
 * A rank's part of a parameter, from the file that has the whole: in threads, a stretch of the
 * file at a time, whose pages are given back before the next.
 */
#ifndef RM_PART_READ_H
#define RM_PART_READ_H

#include "format/safetensors.h"
#include "model/parts.h"
#include "tensor/compute.h"

/* Elements [first, first + n) of the part into `values`. The tensor has the parameter's shape.
 * FILE if the file became shorter. */
ringmoe_status rm_part_read(const rm_compute *compute, const rm_tensor *tensor,
                            const rm_parameter *parameter, const rm_parameter_part *part,
                            int64_t first, int64_t n, rm_real *values, rm_error *error);

#endif
