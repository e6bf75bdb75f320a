(* SPDX-License-Identifier: LGPL-2.1-or-later *)
(*
Module: Guestlock
  guestlock.conf(5), and the libvirt plugin's own files, which have the same format:

    /files/etc/guestlock/guestlock.conf/guestlock/acquire_timeout = "60"
    /files/etc/libvirt/qemu-guestlock.conf/fcntl/lock_dir = "/srv/guests/locks"

  A section is a node with its settings below it. Comment lines, and comments behind a value, are nodes
  "#comment"; a comment behind a section stays in the file, but has no node.

  The settings of [guestlock] are known here by name and type. Every other section is a backend's, which may
  not be installed: any value is taken there, and any name that a backend could give a setting.

  guestlock refuses some more that is taken here: a setting that occurs twice, a line of more than 199
  characters, a section or setting of more than 49, a section that is almost called [guestlock], what the backend in
  use does not know, and the control characters 0x01 to 0x06 and 0x7f. "guestlock -c FILE config" tells of these.
*)
module Guestlock =

autoload xfm

(* ---- Ends of lines, blanks, comments ---- *)

(* What lines begin with, and what may stand before their end. *)
let indent_re = /[ \t\r]*/

(* Control characters are refused; those below the bell cannot be written in an expression. *)
let blank_re = /[ \t]+/
let solid_re = /[^\a- ]+/
let text_re = solid_re . (blank_re . solid_re)*

let indent = del indent_re ""

(* The end of a line, also behind a comment without words. *)
let eol (mark:regexp) = del ((mark . /[ \t]*/)? . indent_re . "\n") "\n"

(* Comment lines are passed over unread, so anything may stand in them. *)
let comment_text_re = /[^ \t\r\n]([^\n]*[^ \t\r\n])?/
let comment = [ label "#comment" . del (indent_re . /[#;]/ . indent_re) "# " . store comment_text_re
	. del (indent_re . "\n") "\n" ]
let empty = [ del (indent_re . /[#;]?/ . indent_re . "\n") "\n" ]

(* Behind a value, only a blank and a semicolon begin a comment. *)
let comment_mark = /[ \t]+;/
let trailing_comment = [ label "#comment" . del (comment_mark . /[ \t]*/) " ; " . store text_re
	. del (indent_re . "\n") "\n" ]

(* ---- Settings ---- *)

(* setting KEY VALUE: one line. *)
let setting_as (k:regexp) (separator:lens) (value:regexp) = [ indent . key k . separator . store value
	. (eol comment_mark | trailing_comment) ]
let equals = del /[ \t]*=[ \t]*/ " = "
let setting (k:regexp) (value:regexp) = setting_as k equals value

let bool_re = "yes" | "no"
let path_re = "/" . /[^\a- ]*/ . (blank_re . (solid_re - /;[^\a- ]*/))*
let name_re = /[a-z][a-z0-9-]*/

(* 1 to 86400 *)
let timeout_re = /0*([1-9][0-9]{0,3}|[1-7][0-9]{4}|8[0-5][0-9]{3}|86[0-3][0-9]{2}|86400)/

let own_setting =
	  setting "backend" name_re
	| setting /(run|state)_dir/ path_re
	| setting /lock_disks|lock_guest|require_leases|allow_local_names/ bool_re
	| setting "readonly_disks" /ignore|shared/
	| setting "disk_identity" /auto|path/
	| setting "acquire_timeout" timeout_re
	| setting "resume_check" /strict|off/
	| setting "keeper" /auto|always/
	| setting "log" (/auto|stderr|syslog/ | path_re)
	| setting "log_level" /error|warning|info|debug/

(* Any value, without blanks at its ends and without a comment. *)
let rest_re = /[^\a- ]*/ . (blank_re . (solid_re - /;[^\a- ]*/))*
let value_re = (/[^\a- ;]/ . rest_re)

(* A value that begins with a semicolon is one only right behind the sign. *)
let semicolon_re = ";" . rest_re

let key_re = /[a-z][a-z0-9_]*/

let any_setting = setting key_re value_re
	| setting_as key_re (del /[ \t]*=/ " =") semicolon_re
	| [ indent . key key_re . del /[ \t]*=/ " =" . (eol comment_mark | trailing_comment) ]

(* ---- Sections ---- *)

(* Behind a section the comment needs no blank before it. *)
let title_end = del (/[ \t]*/ . (/[#;]/ . /([^\a- ]|[ \t])*/)? . indent_re . "\n") "\n"

let section (name:regexp) (content:lens) = [ indent . Util.del_str "[" . key name . Util.del_str "]"
	. title_end . (content | comment | empty)* ]

let own_section = section "guestlock" own_setting
let backend_section = section (name_re - "guestlock") any_setting

(* The byte order mark that some editors put at the beginning: it stands in the brackets, but has no width. *)
let mark = del /(﻿)?/ ""

let lns = mark . (comment | empty)* . (own_section | backend_section)*

(* ---- Files ---- *)

let filter = incl "/etc/guestlock/guestlock.conf"
	. incl "/etc/guestlock/conf.d/*.conf"
	. incl "/etc/libvirt/qemu-guestlock.conf"
	. incl "/etc/libvirt/libxl-guestlock.conf"
	. Util.stdexcl

let xfm = transform lns filter
