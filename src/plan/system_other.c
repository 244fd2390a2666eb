/* SPDX-License-Identifier: MIT
 *
 * A system nobody has described yet: everything stays unknown.
 */
#include "plan/system.h"

void rm_system_describe(ringmoe_machine *machine)
{
    (void)machine;
}
