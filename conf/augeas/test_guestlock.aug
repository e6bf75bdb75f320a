(* SPDX-License-Identifier: LGPL-2.1-or-later *)
(* What the lens makes of a file, and what it writes. Whether it takes what guestlock takes: tests/lint/lens. *)
module Test_guestlock =

let conf = "# Which technology locks.
;
[guestlock]
backend = fcntl
  run_dir=/run/guest lock   ; in memory
\tacquire_timeout = 60\r

# Its own
[fcntl] # here
lock_dir = /srv/guests/locks
[other-one]
a = ; nothing
b = 1;2 = 3
c =; 4
[guestlock]
log_level = debug
"

test Guestlock.lns get conf =
  { "#comment" = "Which technology locks." }
  { }
  { "guestlock"
    { "backend" = "fcntl" }
    { "run_dir" = "/run/guest lock"
      { "#comment" = "in memory" } }
    { "acquire_timeout" = "60" }
    { }
    { "#comment" = "Its own" } }
  { "fcntl"
    { "lock_dir" = "/srv/guests/locks" } }
  { "other-one"
    { "a"
      { "#comment" = "nothing" } }
    { "b" = "1;2 = 3" }
    { "c" = "; 4" } }
  { "guestlock"
    { "log_level" = "debug" } }

(* What is changed is changed, and nothing else. *)
test Guestlock.lns put conf after set "/guestlock[1]/run_dir" "/run/x" ; set "/other-one/c" "4" ;
  set "/guestlock[2]/lock_guest" "no" = "# Which technology locks.
;
[guestlock]
backend = fcntl
  run_dir=/run/x   ; in memory
\tacquire_timeout = 60\r

# Its own
[fcntl] # here
lock_dir = /srv/guests/locks
[other-one]
a = ; nothing
b = 1;2 = 3
c =4
[guestlock]
log_level = debug
lock_guest = no
"

(* A file from nothing. *)
test Guestlock.lns put "" after set "/guestlock/backend" "fcntl" ; set "/guestlock/#comment" "why" ;
  set "/fcntl/lock_dir" "/srv/locks" ; set "/fcntl/lock_dir/#comment" "shared" ;
  set "/other/semicolon" ";" ; set "/other/empty" "" = "[guestlock]
backend = fcntl
# why
[fcntl]
lock_dir = /srv/locks ; shared
[other]
semicolon =;
empty =
"

(* What guestlock would refuse cannot be written. *)
test Guestlock.lns put "" after set "/guestlock/lock_disk" "yes" = *
test Guestlock.lns put "" after set "/guestlock/lock_disks" "true" = *
test Guestlock.lns put "" after set "/guestlock/acquire_timeout" "0" = *
test Guestlock.lns put "" after set "/guestlock/acquire_timeout" "86401" = *
test Guestlock.lns put "" after set "/guestlock/run_dir" "relative" = *
test Guestlock.lns put "" after set "/guestlock/log" "/a ; b" = *
test Guestlock.lns put "" after set "/Guestlock/log" "auto" = *
test Guestlock.lns put "" after set "/log" "auto" = *
