#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# list, show, holders: what there is, as tables and as JSON.
# What the helpers set, and words that are meant to split; each test is a subshell.
# shellcheck disable=SC2154,SC2086,SC2030,SC2031,SC2046
load helpers

@test "no guests: no lines, an empty array" {
	run -0 --separate-stderr gl list
	test -z "$output"
	test -z "$stderr"
	run -0 gl list --json
	test "$(jq -c . <<<"$output")" = '{"guests":[]}'
}

@test "list: columns, sorted by name" {
	begin zebra --disk "$disk"
	begin ant --disk "$dir/second.img" --disk "$dir/third.img"
	run -0 gl list
	test "$(head -n 1 <<<"$output" | tr -s ' ')" = "NAME UUID PID STATE LIFE DISKS SINCE"
	read -r name uuid pid state life disks since rest <<<"$(sed -n 2p <<<"$output")"
	test "$name $state $life $disks$rest" = "ant running alive 2"
	test "$uuid" = "$(property ant uuid)"
	test "$pid" = "$(pid_of ant)"
	[[ "$since" =~ ^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[+-][0-9]{4}$ ]]
	age=$(($(date +%s) - $(date -d "$since" +%s)))
	((age >= 0 && age < 60))
	contains "$(sed -n 3p <<<"$output")" zebra
	run -0 gl list --no-headings
	test "$(wc -l <<<"$output")" = 2
	[[ "$output" == ant* ]]
}

@test "list: a guest without a name has a dash" {
	"$GUESTLOCK" run --uuid 6e6f6e65-0000-4000-8000-00000000000c -- sleep 300 >/dev/null 2>&1 3>&- &
	eventually has 6e6f6e65-0000-4000-8000-00000000000c state running
	test "$(gl list --no-headings | awk '{ print $1, NF }')" = "- 7"
}

@test "list: a damaged record is shown, and the others with it" {
	begin good --disk "$disk"
	begin bad --disk "$dir/second.img"
	uuid=$(property bad uuid)
	head -c 40 "$dir/run/guests/$uuid" >"$dir/half"
	cat "$dir/half" >"$dir/run/guests/$uuid"
	run -0 --separate-stderr gl list
	contains "$output" "good"
	test "$(grep "$uuid" <<<"$output" | awk '{ print $4 }')" = damaged
	contains "$stderr" "$uuid"
	run -0 --separate-stderr gl list --json
	test "$(jq --arg uuid "$uuid" '[.guests[] | select(.uuid == $uuid)][0].damage | length > 0' <<<"$output")" = true
	test "$(jq '[.guests[] | select(.name == "good")][0].damage' <<<"$output")" = null
	run -65 --separate-stderr gl show "$uuid"
	is_message "$stderr"
	run -0 gl graph
	contains "$output" damaged
}

@test "show: everything about a guest" {
	begin web --id 12 --param os=linux --disk "$disk" --disk "$dir/second.img,shared" --lease k,lockspace=l
	run -0 gl show web
	for line in "name:        web" "id:          12" "state:       running" "life:        alive" \
		"param:       os=linux" "pid:         $(pid_of web)" "technology:"; do
		contains "$output" "$line"
	done
	contains "$output" "$(property web uuid)"
	test "$(awk -v disk="$disk" '$2 == disk { print $1, $3, $4 }' <<<"$output")" = "disk exclusive held"
	test "$(awk '$2 ~ /second/ { print $1, $3, $4, $5 }' <<<"$output")" = "disk shared held shared"
	test "$(awk '$2 == "k" { print $1, $3, $4 }' <<<"$output")" = "lease exclusive held"
	by_uuid=$(gl show "$(property web uuid)")
	test "$by_uuid" = "$output"
}

@test "show --json: types and values" {
	begin web --disk "$disk"
	run -0 gl show web --json
	test "$(jq -c '.guests | length' <<<"$output")" = 1
	test "$(jq -c '.guests[0] | [.damage, .name, .state, .pending, .life, (.pid | type), (.since | type)]' <<<"$output")" = \
		'[null,"web","running","","alive","number","number"]'
	test "$(jq -c '.guests[0].instance | test("^[0-9a-f]{16}$")' <<<"$output")" = true
	test "$(jq -c --arg disk "$disk" '[.guests[0].resources[] | select(.name == $disk)][0] |
		[.type, .readonly, .shared, .mode, .state, (.epoch | test("^[0-9a-f]{16}$")), .identity, (.key | length)]' \
		<<<"$output")" = '["disk",false,false,"exclusive","held",true,"file:'"$disk"'",43]'
}

@test "no such guest: 66; a name of two guests: 64" {
	for command in show pause resume inquire release "migrate prepare" "attach --disk $disk" "detach --disk $disk"; do
		run -66 --separate-stderr gl $command nobody
		is_message "$stderr"
		contains "$stderr" nobody
		run -66 gl $command 6e6f6e65-0000-4000-8000-0000000000ff
	done
	begin twin --disk "$disk"
	begin twin --uuid 33fe0000-1111-4222-8333-444444444444 --disk "$dir/second.img"
	run -64 --separate-stderr gl show twin
	contains "$stderr" uuid
}

@test "holders: who, where, since when; nobody is no line" {
	run -0 gl holders "$disk"
	test -z "$output"
	begin web --disk "$disk"
	run -0 gl holders "$disk" "$dir/second.img"
	test "$(wc -l <<<"$output")" = 2
	test "$(head -n 1 <<<"$output" | tr -s ' ')" = "RESOURCE MODE NAME UUID HOST PID SINCE"
	read -r resource mode name uuid host pid since <<<"$(sed -n 2p <<<"$output")"
	test "$resource $mode $name $uuid $host $pid" = \
		"$disk exclusive web $(property web uuid) $(uname -n) $(pid_of web)"
	date -d "$since" >/dev/null
	run -0 gl holders --disk "$disk" --no-headings
	test "$(wc -l <<<"$output")" = 1
	run -0 other_host holders "$disk" --json
	test "$(jq -c '[.resources[0].resource, .resources[0].holders[0].name]' <<<"$output")" = "[\"$disk\",\"web\"]"
}

@test "holders: all of those who share, of a lease, too" {
	begin a --disk "$disk,shared" --lease k,lockspace=l
	other_host run --name b --disk "$disk,shared" -- sleep 300 >/dev/null 2>&1 3>&- &
	both()
	{
		test "$(gl holders "$disk" --no-headings | awk '{ print $2, $3 }' | sort | tr '\n' ' ')" = "shared a shared b "
	}
	eventually both
	run -0 gl holders --lease k,lockspace=l --no-headings
	test "$(awk '{ print $1, $2, $3 }' <<<"$output")" = "k exclusive a"
	run -0 gl holders --lease k,lockspace=other --no-headings
	test -z "$output"
}

@test "holders of what is no disk: the fitting status" {
	run -66 --separate-stderr gl holders "$dir/missing"
	is_message "$stderr"
	run -64 gl holders "$dir"
	run -66 gl holders "$dir/missing" "$disk"
}

@test "graph: guests, disks and modes, readable for dot" {
	printf -v odd 'a"b\\c<d>\n'
	begin "$odd" --disk "$disk"
	begin other --disk "$dir/second.img,shared"
	run -0 --separate-stderr gl graph
	[[ "$output" == "digraph guests {"* ]]
	contains "$output" "exclusive, held"
	contains "$output" "shared, held"
	contains "$output" 'a\"b\\c<d>\\x0a'
	if command -v dot >/dev/null; then
		dot -Tsvg <<<"$output" >/dev/null
	fi
	run -64 gl graph --json
}

@test "graph --lifecycle: the table as a picture" {
	run -0 --separate-stderr gl graph --lifecycle
	contains "$output" '"running" -> "paused"'
	contains "$output" '"paused" -> "running"'
	contains "$output" '"none" -> "bound"'
	if command -v dot >/dev/null; then
		dot -Tsvg <<<"$output" >/dev/null
	fi
}

@test "list --cluster: the guests of all hosts, each with its locks" {
	begin web --disk "$disk" --disk "$dir/second.img,shared" --lease k,lockspace=l
	other_host run --name far --disk "$dir/second.img,shared" -- sleep 300 >/dev/null 2>&1 3>&- &
	eventually two_share
	for host in gl other_host; do
		run -0 --separate-stderr $host list --cluster
		test -z "$stderr"
		test "$(head -n 1 <<<"$output" | tr -s ' ')" = "HOST NAME UUID PID SINCE LOCKS"
		test "$(awk 'NR > 1 { print $1, $2, NF }' <<<"$output")" = "$(hostname) far 7
$(hostname) web 11"
		test "$(awk '$2 == "web" { print $3, $4 }' <<<"$output")" = "$(property web uuid) $(pid_of web)"
		contains "$(grep far <<<"$output")" "shared file:$dir/second.img"
		contains "$(grep web <<<"$output")" " exclusive file:$disk, shared file:$dir/second.img, exclusive lease:l:"
	done
	gl pause web >/dev/null
	run -0 gl list --cluster --json
	test "$(jq -c '[.silent, (.guests | map(.name))]' <<<"$output")" = '[[],["far"]]'
	test "$(jq -c --arg key "$(gl check "$dir/second.img" --json | jq -r '.resources[0].key')" \
		'.guests[0].locks[] | select(.key == $key) | [.identity, .mode, .since > 0]' <<<"$output")" = \
		"[\"file:$dir/second.img\",\"shared\",true]"
}

two_share()
{
	test "$(gl holders "$dir/second.img" --json | jq '.resources[0].holders | length')" = 2
}

@test "list --cluster: nobody is no line; a damaged entry is told, and the others are shown" {
	run -0 --separate-stderr gl list --cluster
	test -z "$output$stderr"
	run -0 gl list --cluster --json
	test "$(jq -c . <<<"$output")" = '{"guests":[],"silent":[]}'
	begin web --disk "$disk"
	key=$(gl check "$dir/third.img" --json | jq -r '.resources[0].key')
	echo nonsense >"$dir/state/fcntl/keys/$key"
	run -0 --separate-stderr gl list --cluster
	contains "$output" web
	contains "$stderr" "$key"
	is_message "$stderr"
}

@test "graph --cluster: a frame for each host, readable for dot" {
	begin 'a "quoted" name' --disk "$disk"
	run -0 gl graph --cluster
	contains "$output" "label=\"$(hostname)\""
	contains "$output" 'a \"quoted\" name'
	contains "$output" "label=\"file:$disk\""
	contains "$output" 'label="exclusive"'
	if command -v dot >/dev/null; then
		dot -Tsvg <<<"$output" >"$dir/graph.svg"
		contains "$(cat "$dir/graph.svg")" "$(hostname)"
	fi
	run -64 gl graph --cluster --lifecycle
}

@test "explain: every state, one state, none that there is not" {
	run -0 gl explain
	for state in none bound running paused migrating-out migrating-in lost dead; do
		contains "$output" "$state: "
		run -0 gl explain "$state" --json
		test "$(jq --arg s "$state" '[.transitions[] | select(.state != $s and .state != "*")] | length' <<<"$output")" = 0
		test "$(jq '.transitions | length > 5' <<<"$output")" = true
		run -0 gl explain
	done
	run -64 gl explain asleep
	contains "$output" migrating-out
	run -0 gl explain --json
	test "$(jq -r '[.transitions[] | select(.state == "running" and .event == "pause" and .verdict == "go")][0].next_pending' \
		<<<"$output")" = pause
}

# check_of TEXT: the first 8 characters of its SHA-256 in base64url.
check_of()
{
	sha256sum | cut -c -64 | sed 's/../\\x&/g' | xargs -0 printf | base64 | tr '+/' '-_' | cut -c -8
}

@test "another program can check a record and a lock entry, as documented" {
	local file magic version length check

	begin web --disk "$disk"
	file=$dir/run/guests/$(gl show web --json | jq -r '.guests[0].uuid')
	read -r magic version length check <"$file"
	test "$magic $version" = "guestlock-file 1"
	test "$(tail -n +2 "$file" | head -c "$((10#$length))" | check_of)" = "$check"
	for file in "$dir"/state/fcntl/keys/*; do
		read -r magic version length check < <(head -n 1 "$file")
		test "$magic $version" = "guestlock-entry 1"
		test "$(tail -n +2 "$file" | head -c "$((10#$length))" | check_of)" = "$check"
	done
}

@test "a guest whose first process has ended: who has its disks is named" {
	run -0 --separate-stderr gl run --name daemon --disk "$disk" -- sh -c 'setsid sleep 300 >/dev/null 2>&1 & echo $! >"$0"' "$dir/pid"
	pid=$(cat "$dir/pid")
	contains "$stderr" "live on (pid $pid (sleep))"
	run -1 --separate-stderr gl run --name other --disk "$disk" -- true
	contains "$stderr" "pid $pid (its first process, "
	run -0 gl show daemon
	[[ $output =~ processes:\ +pid\ $pid\ \(sleep\) ]]
	[[ $output =~ pid:\ +[0-9]+\ \(has\ ended\) ]]
	test "$(gl list --no-headings | awk '{ print $3 }')" = "$pid"
	test "$(gl holders "$disk" --no-headings | awk '{ print $6 }')" = "$pid"
	gl list --json | jq -e --argjson pid "$pid" '.guests[0] | .pid != $pid and .living_pid == $pid and .pid_namespace == null'
	gl holders "$disk" --json | jq -e --argjson pid "$pid" '.resources[0].holders[0] | .pid != $pid and .living_pid == $pid'
	run -1 --separate-stderr gl run --uuid "$(property daemon uuid)" --disk "$disk" -- true
	contains "$stderr" "pid $pid (its first process, "
	kill -KILL "$pid"
}

@test "a guest of another pid namespace: its number is said to be of that one" {
	test "$(id -u)" = 0 || skip "only root can make namespaces"
	unshare --pid --fork --mount-proc true 2>/dev/null || skip "cannot make namespaces here"
	unshare --pid --fork --mount-proc "$GUESTLOCK" run --name inner --disk "$disk" -- sleep 300 >/dev/null 2>&1 3>&- &
	eventually has inner state running
	run -1 --separate-stderr gl run --name other --disk "$disk" -- true
	contains "$stderr" "of another pid namespace"
	# Who sees it has a number for it.
	outer=$(tr -d ' ' <"/proc/$!/task/$!/children")
	first=$(tr -d ' ' <"/proc/$outer/task/$outer/children")
	here=$(gl list --json | jq -e '.guests[0] | select(.pid != .living_pid) | .living_pid')
	test "$here" = "$first"
	test "$(gl list --no-headings | awk '{ print $3 }')" = "$here"
	kill -KILL "$outer"
}

@test "a number of another pid namespace is marked for who does not see the process" {
	test "$(id -u)" = 0 || skip "only root can make namespaces"
	unshare --pid --fork --mount-proc true 2>/dev/null || skip "cannot make namespaces here"
	begin web --disk "$disk"
	pid=$(pid_of web)
	ns=$(stat -Lc %i /proc/self/ns/pid)
	inside() { unshare --pid --fork --mount-proc "$GUESTLOCK" "$@"; }
	run -0 --separate-stderr inside list --no-headings
	test "$(awk '{ print $3 }' <<<"$output")" = "$pid@$ns"
	contains "$stderr" "PID@NAMESPACE"
	run -0 --separate-stderr inside holders --no-headings "$disk"
	test "$(awk '{ print $6 }' <<<"$output")" = "$pid@$ns"
	run -0 inside show web
	[[ $output =~ pid:\ +$pid\ of\ pid\ namespace\ $ns ]]
	inside list --json | jq -e --argjson pid "$pid" --argjson ns "$ns" \
		'.guests[0] | .pid == $pid and .pid_namespace == $ns and .living_pid == null'
	# Also where its record is in another run directory.
	write_config "$dir/inside.conf" "$dir/inside-run" "$dir/state"
	run -0 --separate-stderr inside --config "$dir/inside.conf" holders --no-headings "$disk"
	test "$(awk '{ print $6 }' <<<"$output")" = "$pid@$ns"
	run -1 --separate-stderr inside --config "$dir/inside.conf" run --disk "$disk" -- true
	contains "$stderr" "pid $pid of another pid namespace"
}

@test "the process of a guest that has ended is marked" {
	begin web --disk "$disk"
	pid=$(pid_of web)
	kill -KILL "$supervisor"
	eventually is_over "$supervisor"
	kill -KILL "$pid"
	eventually is_over "$pid"
	run -0 --separate-stderr gl list --no-headings
	test "$(awk '{ print $3 }' <<<"$output")" = "$pid*"
	contains "$stderr" "PID*: that process has ended"
}

@test "a disk that was renamed while its guest runs: nobody is sent to the old name" {
	begin web --disk "$disk"
	mv "$disk" "$dir/renamed.img"
	run ! --separate-stderr gl run --name other --disk "$dir/renamed.img" -- true
	contains "$stderr" "$disk by guest web"
	[[ $stderr != *"name it by that path"* ]]
}

@test "a damaged lock entry: the path and the key are said" {
	begin web --disk "$disk"
	key=$(gl check --json "$disk" | jq -r '.resources[0].key')
	: >"$dir/state/fcntl/keys/$key"
	run -65 --separate-stderr gl run --name other --disk "$disk" -- true
	contains "$stderr" "file:$disk: the lock entry"
	contains "$stderr" "release --orphan $key --force"
	test "$(grep -c "cannot be trusted" <<<"$stderr")" = 1
	rm "$dir/state/fcntl/keys/$key"
}

@test "no guest of that name, but a run directory of before the host was renamed: it is named" {
	mkdir -m 700 "$dir/user"
	gl -q -o "guestlock.run_dir=$dir/user/run-old" run --name web --disk "$disk" -- sleep 300 3>&- &
	old()
	{
		gl -o "guestlock.run_dir=$dir/user/run-old" show web >/dev/null 2>&1
	}
	eventually old
	run -66 --separate-stderr gl -o "guestlock.run_dir=$dir/user/run-new" pause web
	contains "$stderr" "There are guests in $dir/user/run-old"
	gl -o "guestlock.run_dir=$dir/user/run-old" show web --json | jq '.guests[0].pid' | xargs kill -KILL
}
