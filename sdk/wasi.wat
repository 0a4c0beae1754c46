;; Stands in for wasi_snapshot_preview1 in components of C and Go. Calls nothing of the host but its log.
;;
;; A plugin has no files, environment, arguments or sockets, and what libc and Go's runtime ask for beside them is
;; answered here: a clock that counts, numbers from a fixed seed, output as lines of the log (standard output as info,
;; standard error as warn). Go's garbage collector asks for the clock while the host hands something over, where
;; nothing outside of the component may be called, so the clock cannot be the host's. The time of an event is the
;; batch's timestamp.
(module
  (import "env" "memory" (memory 0))
  (import "flow:processor/log@1.0.0" "log" (func $log (param i32 i32 i32 i32 i32)))
  (global $clock (mut i64) (i64.const 1700000000000000000))
  (global $seed (mut i64) (i64.const 0x2545F4914F6CDD1D))

  ;; errno: 0 success, 8 badf
  (func (export "args_get") (param i32 i32) (result i32) (i32.const 0))
  (func (export "environ_get") (param i32 i32) (result i32) (i32.const 0))
  (func $none (param $count i32) (param $size i32) (result i32)
    (i32.store (local.get $count) (i32.const 0))
    (i32.store (local.get $size) (i32.const 0))
    (i32.const 0))
  (func (export "args_sizes_get") (param i32 i32) (result i32) (call $none (local.get 0) (local.get 1)))
  (func (export "environ_sizes_get") (param i32 i32) (result i32) (call $none (local.get 0) (local.get 1)))

  ;; Each look moves the clock on by a microsecond, each sleep by a millisecond.
  (func (export "clock_time_get") (param i32 i64) (param $time i32) (result i32)
    (global.set $clock (i64.add (global.get $clock) (i64.const 1000)))
    (i64.store (local.get $time) (global.get $clock))
    (i32.const 0))
  (func (export "poll_oneoff") (param i32 i32 i32) (param $count i32) (result i32)
    (global.set $clock (i64.add (global.get $clock) (i64.const 1000000)))
    (i32.store (local.get $count) (i32.const 0))
    (i32.const 0))
  (func (export "sched_yield") (result i32) (i32.const 0))
  (func (export "proc_exit") (param i32) (unreachable))
  (func (export "adapter_monotonic_clock_set_paused") (param i32))

  ;; xorshift64
  (func (export "random_get") (param $at i32) (param $len i32) (result i32)
    (local $end i32)
    (local.set $end (i32.add (local.get $at) (local.get $len)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (global.set $seed (i64.xor (global.get $seed) (i64.shl (global.get $seed) (i64.const 13))))
        (global.set $seed (i64.xor (global.get $seed) (i64.shr_u (global.get $seed) (i64.const 7))))
        (global.set $seed (i64.xor (global.get $seed) (i64.shl (global.get $seed) (i64.const 17))))
        (i64.store8 (local.get $at) (global.get $seed))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (i32.const 0))

  ;; What is written is a line of the log, each piece by itself; a line end alone is none.
  (func (export "fd_write") (param $fd i32) (param $piece i32) (param $pieces i32) (param $written i32) (result i32)
    (local $sum i32)
    (local $at i32)
    (local $len i32)
    (if (i32.or (i32.eqz (local.get $fd)) (i32.gt_u (local.get $fd) (i32.const 2))) (then (return (i32.const 8))))
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $pieces)))
        (local.set $at (i32.load (local.get $piece)))
        (local.set $len (i32.load offset=4 (local.get $piece)))
        (local.set $sum (i32.add (local.get $sum) (local.get $len)))
        (call $say (local.get $fd) (local.get $at) (local.get $len))
        (local.set $piece (i32.add (local.get $piece) (i32.const 8)))
        (local.set $pieces (i32.sub (local.get $pieces) (i32.const 1)))
        (br $next)))
    (i32.store (local.get $written) (local.get $sum))
    (i32.const 0))
  (func $say (param $fd i32) (param $at i32) (param $len i32)
    (if (i32.eqz (local.get $len)) (then (return)))
    (if (i32.eq (i32.load8_u (i32.sub (i32.add (local.get $at) (local.get $len)) (i32.const 1))) (i32.const 10))
      (then (local.set $len (i32.sub (local.get $len) (i32.const 1)))))
    (if (i32.eqz (local.get $len)) (then (return)))
    (call $log (local.get $fd) (local.get $at) (local.get $len) (i32.const 0) (i32.const 0)))

  (func (export "fd_close") (param i32) (result i32) (i32.const 8))
  (func (export "fd_fdstat_get") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_fdstat_set_flags") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_prestat_get") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_prestat_dir_name") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "fd_read") (param i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "fd_seek") (param i32 i64 i32 i32) (result i32) (i32.const 8))

  ;; What `wasm-tools component embed` adds for a world that imports the log and nothing else.
  (@custom "component-type" (after code) "\00asm\0d\00\01\00\00\19\16wit-component-encoding\04\00\07\90\01\01A\02\01A\02\01B\06\01m\04\05debug\04info\04warn\05error\04\00\05level\03\00\00\01o\02ss\01p\02\01@\03\05level\01\07messages\06fields\03\01\00\04\00\03log\01\04\03\00\18flow:processor/log@1.0.0\05\00\04\00\14flow:adapter/adapter\04\00\0b\0d\01\00\07adapter\03\00\00"))
