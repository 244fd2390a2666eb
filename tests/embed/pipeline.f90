! SPDX-License-Identifier: MIT
!
! A Fortran host that pipelines stages of its own: stage s multiplies a row by its weight s + 2,
! and the gradient of each weight must be what it is on paper. The exit status is the same on
! every rank.

module ring
  use, intrinsic :: iso_c_binding
  implicit none

  integer, parameter :: n_elements = 5, n_microbatches = 6
  integer(c_int), parameter :: stage_forward = 0, stage_backward = 1

  ! struct ringmoe_mesh_dims
  type, bind(C) :: mesh_dims
    integer(c_int) :: pipeline = 0, data = 0, expert = 0, tensor = 0
  end type

  ! struct ringmoe_stage_call
  type, bind(C) :: stage_call
    integer(c_int) :: operation
    integer(c_int64_t) :: step
    integer(c_int) :: microbatch, chunk, stage, slot
    type(c_ptr) :: input, output, d_output, d_input
  end type

  ! What the stage of this rank finds out, handed to it by address.
  type, bind(C) :: findings
    real(c_double) :: loss, gradient
  end type

  interface
    integer(c_int) function context_create(communicator, settings, context) &
        bind(C, name='ringmoe_context_create_f')
      import
      integer(c_int), value :: communicator
      type(c_ptr), value :: settings
      type(c_ptr), intent(out) :: context
    end function
    subroutine context_destroy(context) bind(C, name='ringmoe_context_destroy')
      import
      type(c_ptr), intent(inout) :: context
    end subroutine
    integer(c_int) function mesh_create(context, dims, n_experts, mesh) &
        bind(C, name='ringmoe_mesh_create')
      import
      type(c_ptr), value :: context
      type(mesh_dims), intent(in) :: dims
      integer(c_int), value :: n_experts
      type(c_ptr), intent(out) :: mesh
    end function
    subroutine mesh_destroy(mesh) bind(C, name='ringmoe_mesh_destroy')
      import
      type(c_ptr), intent(inout) :: mesh
    end subroutine
    integer(c_int) function schedule_create(context, name, n_ranks, n_micro, n_chunks, schedule) &
        bind(C, name='ringmoe_schedule_create')
      import
      type(c_ptr), value :: context
      character(c_char), intent(in) :: name(*)
      integer(c_int), value :: n_ranks, n_micro, n_chunks
      type(c_ptr), intent(out) :: schedule
    end function
    subroutine schedule_destroy(schedule) bind(C, name='ringmoe_schedule_destroy')
      import
      type(c_ptr), intent(inout) :: schedule
    end subroutine
    integer(c_int) function pipeline_create(mesh, schedule, n, pipeline) &
        bind(C, name='ringmoe_pipeline_create')
      import
      type(c_ptr), value :: mesh, schedule
      integer(c_int64_t), value :: n
      type(c_ptr), intent(out) :: pipeline
    end function
    subroutine pipeline_destroy(pipeline) bind(C, name='ringmoe_pipeline_destroy')
      import
      type(c_ptr), intent(inout) :: pipeline
    end subroutine
    integer(c_int) function pipeline_run(pipeline, step, function, user, times) &
        bind(C, name='ringmoe_pipeline_run')
      import
      type(c_ptr), value :: pipeline, user, times
      integer(c_int64_t), value :: step
      type(c_funptr), value :: function
    end function
  end interface

contains

  real function weight_of(stage)
    integer(c_int), intent(in) :: stage
    weight_of = real(stage + 2)
  end function

  ! A row of a call: the caller's memory where there is some, else the given value throughout.
  function row_of(place, otherwise) result(row)
    type(c_ptr), intent(in) :: place
    real, intent(in) :: otherwise
    real(c_float) :: row(n_elements)
    real(c_float), pointer :: values(:)
    row = otherwise
    if (.not. c_associated(place)) return
    call c_f_pointer(place, values, [n_elements])
    row = values
  end function

  subroutine write_row(place, row)
    type(c_ptr), intent(in) :: place
    real(c_float), intent(in) :: row(n_elements)
    real(c_float), pointer :: values(:)
    if (.not. c_associated(place)) return
    call c_f_pointer(place, values, [n_elements])
    values = row
  end subroutine

  integer(c_int) function multiply(user, at) bind(C)
    type(c_ptr), value :: user
    type(stage_call), intent(in) :: at
    type(findings), pointer :: found
    real(c_float) :: x(n_elements), d_y(n_elements)
    call c_f_pointer(user, found)
    x = row_of(at%input, real(at%microbatch + 1))
    if (at%operation == stage_forward) then
      call write_row(at%output, weight_of(at%stage) * x)
      if (.not. c_associated(at%output)) found%loss = found%loss + sum(weight_of(at%stage) * x)
    else
      d_y = row_of(at%d_output, 1.0)
      call write_row(at%d_input, weight_of(at%stage) * d_y)
      found%gradient = found%gradient + sum(x * d_y)
    end if
    multiply = 0
  end function
end module

program pipeline_host
  use ring
  implicit none
  include 'mpif.h'
  integer :: code, rank, n_ranks, failures, s
  type(c_ptr) :: context, mesh, schedule, pipeline
  type(mesh_dims) :: dims
  type(findings), target :: found
  real(c_double) :: expected

  failures = 0
  call MPI_Init(code)
  call MPI_Comm_rank(MPI_COMM_WORLD, rank, code)
  call MPI_Comm_size(MPI_COMM_WORLD, n_ranks, code)

  call expect('context', context_create(MPI_COMM_WORLD, c_null_ptr, context) == 0)
  dims%pipeline = n_ranks
  call expect('mesh', mesh_create(context, dims, 0_c_int, mesh) == 0)
  call expect('schedule', schedule_create(context, '1f1b' // c_null_char, int(n_ranks, c_int), &
      int(n_microbatches, c_int), 1_c_int, schedule) == 0)
  call expect('pipeline', pipeline_create(mesh, schedule, int(n_elements, c_int64_t), &
      pipeline) == 0)
  found = findings(0, 0)
  call expect('run', pipeline_run(pipeline, 1_c_int64_t, c_funloc(multiply), c_loc(found), &
      c_null_ptr) == 0)

  ! On paper: the product of all weights times the sum of all rows that enter.
  expected = n_elements * n_microbatches * (n_microbatches + 1) / 2
  do s = 0, n_ranks - 1
    expected = expected * weight_of(s)
  end do
  call expect('gradient', abs(found%gradient - expected / weight_of(rank)) < 1e-6)
  if (rank == n_ranks - 1) call expect('loss', abs(found%loss - expected) < 1e-6)

  call pipeline_destroy(pipeline)
  call schedule_destroy(schedule)
  call mesh_destroy(mesh)
  call context_destroy(context)
  call MPI_Allreduce(MPI_IN_PLACE, failures, 1, MPI_INTEGER, MPI_SUM, MPI_COMM_WORLD, code)
  call MPI_Finalize(code)
  if (failures > 0) stop 1

contains

  subroutine expect(what, fulfilled)
    character(*), intent(in) :: what
    logical, intent(in) :: fulfilled
    if (fulfilled) return
    failures = failures + 1
    write (0, *) 'rank', rank, 'failed: ', what
  end subroutine
end program
