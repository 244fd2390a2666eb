! SPDX-License-Identifier: MIT
!
! A Fortran host of the shared library: interfaces by iso_c_binding, the communicator as Fortran
! holds it, one step of an MoE layer. The exit status is the same on every rank.

module ringmoe
  use, intrinsic :: iso_c_binding
  implicit none

  ! struct ringmoe_moe_settings, field by field; enums are C ints
  type, bind(C) :: moe_settings
    integer(c_int) :: d_model, d_ff, n_experts, top_k
    integer(c_int) :: score, renormalize
    real(c_float) :: routed_scale
    integer(c_int) :: noise
    real(c_float) :: jitter
    integer(c_int) :: n_groups, top_groups, group_score
    real(c_float) :: bias_rate
    real(c_float) :: capacity_factor
    real(c_float) :: balance_coefficient
    integer(c_int) :: balance_scope
    real(c_float) :: z_coefficient
    integer(c_int) :: d_ff_shared, shared_gate
    integer(c_int64_t) :: max_tokens
    integer(c_int) :: n_microbatches, layer
    integer(c_int64_t) :: seed
    real(c_float) :: init_std
    integer(c_int) :: reproducible
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
    integer(c_int) function context_size(context) bind(C, name='ringmoe_context_size')
      import
      type(c_ptr), value :: context
    end function
    integer(c_int) function mesh_create(context, dims, n_experts, mesh) &
        bind(C, name='ringmoe_mesh_create')
      import
      type(c_ptr), value :: context, dims
      integer(c_int), value :: n_experts
      type(c_ptr), intent(out) :: mesh
    end function
    subroutine mesh_destroy(mesh) bind(C, name='ringmoe_mesh_destroy')
      import
      type(c_ptr), intent(inout) :: mesh
    end subroutine
    subroutine moe_settings_default(settings) bind(C, name='ringmoe_moe_settings_default')
      import
      type(moe_settings), intent(out) :: settings
    end subroutine
    integer(c_int) function moe_create(mesh, settings, layer) bind(C, name='ringmoe_moe_create')
      import
      type(c_ptr), value :: mesh
      type(moe_settings), intent(in) :: settings
      type(c_ptr), intent(out) :: layer
    end function
    subroutine moe_destroy(layer) bind(C, name='ringmoe_moe_destroy')
      import
      type(c_ptr), intent(inout) :: layer
    end subroutine
    integer(c_int) function moe_forward(layer, n_tokens, x, train, y, stats) &
        bind(C, name='ringmoe_moe_forward')
      import
      type(c_ptr), value :: layer, stats
      integer(c_int64_t), value :: n_tokens
      integer(c_int), value :: train
      real(c_float), intent(in) :: x(*)
      real(c_float), intent(out) :: y(*)
    end function
    integer(c_int) function moe_backward(layer, d_y, aux_scale, d_x) &
        bind(C, name='ringmoe_moe_backward')
      import
      type(c_ptr), value :: layer
      real(c_float), intent(in) :: d_y(*)
      real(c_float), value :: aux_scale
      real(c_float), intent(out) :: d_x(*)
    end function
    integer(c_int) function moe_reduce_gradients(layer) &
        bind(C, name='ringmoe_moe_reduce_gradients')
      import
      type(c_ptr), value :: layer
    end function
  end interface
end module

program embed
  use ringmoe
  implicit none
  include 'mpif.h'
  integer :: code, rank, n_ranks, failures
  integer, parameter :: n_tokens = 5, d_model = 8
  real(c_float), dimension(d_model, n_tokens) :: x, y, d_y, d_x
  type(c_ptr) :: context, mesh, layer
  type(moe_settings) :: settings
  integer :: i, j

  failures = 0
  call MPI_Init(code)
  call MPI_Comm_rank(MPI_COMM_WORLD, rank, code)
  call MPI_Comm_size(MPI_COMM_WORLD, n_ranks, code)

  call expect('context', context_create(MPI_COMM_WORLD, c_null_ptr, context) == 0)
  call expect('size', context_size(context) == n_ranks)
  call expect('mesh', mesh_create(context, c_null_ptr, 4_c_int, mesh) == 0)
  call moe_settings_default(settings)
  call expect('the struct in Fortran is the struct in C', settings%top_k == 2 .and. &
      settings%n_microbatches == 1 .and. abs(settings%init_std - 0.02) < 1e-6)
  settings%d_model = d_model
  settings%d_ff = 12
  settings%n_experts = 4
  settings%max_tokens = n_tokens
  call expect('layer', moe_create(mesh, settings, layer) == 0)

  do j = 1, n_tokens
    do i = 1, d_model
      x(i, j) = sin(real(i + d_model * j))
    end do
  end do
  d_y = 1
  y = 0
  d_x = 0
  call expect('forward', moe_forward(layer, int(n_tokens, c_int64_t), x, 1, y, c_null_ptr) == 0)
  call expect('backward', moe_backward(layer, d_y, 1.0, d_x) == 0)
  call expect('gradients', moe_reduce_gradients(layer) == 0)
  call expect('y is a number', sum(abs(y)) > 0 .and. sum(abs(y)) < 1e6)
  call expect('d_x is a number', sum(abs(d_x)) > 0 .and. sum(abs(d_x)) < 1e6)

  call moe_destroy(layer)
  call mesh_destroy(mesh)
  call context_destroy(context)
  call expect('destroy clears the handle', .not. c_associated(context))
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
