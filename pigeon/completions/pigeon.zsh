#compdef pigeon
# Completion of `pigeon` for zsh: its verbs, options and session ids, then whatever the command itself completes.
#     eval "$(pigeon completion zsh)"         in ~/.zshrc, behind compinit; or this text as _pigeon in $fpath

typeset -gA _pigeon_options # by verb; `.` is pigeon itself
# <!-- made by tools/docs: zsh_options -->
_pigeon_options[.]='-t	give the command a terminal even if stdin or stdout is none
--tty	give the command a terminal even if stdin or stdout is none
-T	give it pipes even if both are terminals
--no-tty	give it pipes even if both are terminals
--no-lock	run beside whatever runs in this directory
-d	start it, print the session'\''s id, and leave it to run
--detach	start it, print the session'\''s id, and leave it to run
-n	the command reads nothing, as with `ssh -n`: for loops that read their own input
--no-input	the command reads nothing, as with `ssh -n`: for loops that read their own input
-q	not even a line on stderr about what has long been waited for
--quiet	not even a line on stderr about what has long been waited for
--keep	if this client is lost, the command goes on (`pigeon attach`)
-v	say what happens to the session, and what was put right in the command
--verbose	say what happens to the session, and what was put right in the command
--config=FILE	read the settings from FILE (PIGEON_CONFIG)
--cache=DIR	the shared directory; required from somewhere (PIGEON_CACHE)
--namespace=NAME	clients and workers of one namespace see each other; default: the value of `user`
--user=NAME	whom sessions name as requester; default: `$USER`, `$LOGNAME`, your login name
--route=NAME	a label: sessions go only to workers with the same one (PIGEON_ROUTE)
--claim-timeout=TIME	give up after so long without a live worker (30 s)
--worker-timeout=TIME	tell when a running session is silent for so long (60 s)
-e=C	escapes at the start of a line: `~.` hangs up, `~?` tells the others; `none` switches
--escape-char=C	escapes at the start of a line: `~.` hangs up, `~?` tells the others; `none` switches
--driven-by=FD	for programs: the command and how to run it come as a line of JSON from the socket FD, what
-h	this text; `pigeon help VERB` tells of a verb
--help	this text; `pigeon help VERB` tells of a verb
-V	which pigeon this is
--version	which pigeon this is'
_pigeon_options[worker]='-h	show this help message and exit
--help	show this help message and exit
--max-jobs=N	commands that run at a time (4)
--poll-interval=TIME	longest wait between two looks for new sessions (0.2 s)
--idle-exit=TIME	end after so long without a session; default: never
--debug	say what happens, with previews of the bytes that move
--journal=PATH	the journal'\''s file, on a local disk; default: `~/.pigeon.db`, or in `/var/tmp` (PIGEON_JOURNAL)
--lock={auto,flock,strict}	how a directory is locked: `auto` decides by the filesystem (auto)
--log=[{auto,commands,ids,none}]	a line at each start and end of a command, without its bytes: `commands`; `ids` leaves its text out; `auto`: `commands` where stderr is no terminal (auto)
--print-unit	print a unit for systemd; `--user`, `--template` say which kind
--session=ID	serve this session alone, and end with it; what `worker.launcher` starts
--config=FILE	read the settings from FILE (PIGEON_CONFIG)
--cache=DIR	the shared directory; required from somewhere (PIGEON_CACHE)
--namespace=NAME	clients and workers of one namespace see each other; default: the value of `user` (PIGEON_NAMESPACE)
--user=NAME	whom sessions name as requester; default: `$USER`, `$LOGNAME`, your login name (PIGEON_USER)
--route=NAME	a label: sessions go only to workers with the same one (PIGEON_ROUTE)'
_pigeon_options[history]='-h	show this help message and exit
--help	show this help message and exit
--cwd=PATH	only what ran in this directory
--since=TIME	only what started at TIME or later
--until=TIME	only what started before TIME
--failed	only what failed; the same as --state failed
--state={claimed,running,exited,final,succeeded,failed,cancelled}	only these; may be repeated
--command=TEXT	only commands with TEXT in them, in any case
--all	pigeon'\''s own questions to a worker as well
--sort={slowest,waited,bytes}	the largest first, by running time, waiting time or bytes
--stats=[{day,directory,command}]	sums by day, directory or program (day)
--net	where `pigeon net` was connected to; with --since, -n and --json
-n=N	the newest N; 0: all (20; --stats: 12; --html: 5000)
--json	one JSON array, stamps in UTC
--csv	CSV with a heading, stamps in UTC
--path	where the journal is; on a terminal, how large as well
--html=FILE	write one page to look at, which needs no network; `-`: to stdout
--journal=PATH	the journal'\''s file, on a local disk; default: `~/.pigeon.db`, or in `/var/tmp` (PIGEON_JOURNAL)
--config=FILE	read the settings from FILE (PIGEON_CONFIG)
--cache=DIR	the shared directory; required from somewhere (PIGEON_CACHE)
--namespace=NAME	clients and workers of one namespace see each other; default: the value of `user` (PIGEON_NAMESPACE)
--user=NAME	whom sessions name as requester; default: `$USER`, `$LOGNAME`, your login name (PIGEON_USER)
--route=NAME	a label: sessions go only to workers with the same one (PIGEON_ROUTE)'
_pigeon_options[sessions]='-h	show this help message and exit
--help	show this help message and exit
--all	finished ones too, as long as they are on the share
--cwd=PATH	only those in this directory
--json	as one JSON array
--watch=[TIME]	again each TIME (2s), until `q`
--config=FILE	read the settings from FILE (PIGEON_CONFIG)
--cache=DIR	the shared directory; required from somewhere (PIGEON_CACHE)
--namespace=NAME	clients and workers of one namespace see each other; default: the value of `user` (PIGEON_NAMESPACE)
--user=NAME	whom sessions name as requester; default: `$USER`, `$LOGNAME`, your login name (PIGEON_USER)
--route=NAME	a label: sessions go only to workers with the same one (PIGEON_ROUTE)'
_pigeon_options[inspect]='-h	show this help message and exit
--help	show this help message and exit
--json	as one JSON object
-o=FIELDS	only these fields of --json, one a line, for scripts
--output=FIELDS	only these fields of --json, one a line, for scripts
--here	only what can be seen from this machine
--journal=PATH	the journal'\''s file, on a local disk; default: `~/.pigeon.db`, or in `/var/tmp` (PIGEON_JOURNAL)
--config=FILE	read the settings from FILE (PIGEON_CONFIG)
--cache=DIR	the shared directory; required from somewhere (PIGEON_CACHE)
--namespace=NAME	clients and workers of one namespace see each other; default: the value of `user` (PIGEON_NAMESPACE)
--user=NAME	whom sessions name as requester; default: `$USER`, `$LOGNAME`, your login name (PIGEON_USER)
--route=NAME	a label: sessions go only to workers with the same one (PIGEON_ROUTE)'
_pigeon_options[attach]='-h	show this help message and exit
--help	show this help message and exit
-r	only watch, until Ctrl-C; the present client stays
--read-only	only watch, until Ctrl-C; the present client stays
-v	say what happens to the session
--verbose	say what happens to the session
--config=FILE	read the settings from FILE (PIGEON_CONFIG)
--cache=DIR	the shared directory; required from somewhere (PIGEON_CACHE)
--namespace=NAME	clients and workers of one namespace see each other; default: the value of `user` (PIGEON_NAMESPACE)
--user=NAME	whom sessions name as requester; default: `$USER`, `$LOGNAME`, your login name (PIGEON_USER)
--route=NAME	a label: sessions go only to workers with the same one (PIGEON_ROUTE)'
_pigeon_options[wait]='-h	show this help message and exit
--help	show this help message and exit
--timeout=TIME	give up after TIME, with exit code 124
--config=FILE	read the settings from FILE (PIGEON_CONFIG)
--cache=DIR	the shared directory; required from somewhere (PIGEON_CACHE)
--namespace=NAME	clients and workers of one namespace see each other; default: the value of `user` (PIGEON_NAMESPACE)
--user=NAME	whom sessions name as requester; default: `$USER`, `$LOGNAME`, your login name (PIGEON_USER)
--route=NAME	a label: sessions go only to workers with the same one (PIGEON_ROUTE)'
_pigeon_options[logs]='-h	show this help message and exit
--help	show this help message and exit
-f	go on until the session has ended
--follow	go on until the session has ended
--config=FILE	read the settings from FILE (PIGEON_CONFIG)
--cache=DIR	the shared directory; required from somewhere (PIGEON_CACHE)
--namespace=NAME	clients and workers of one namespace see each other; default: the value of `user` (PIGEON_NAMESPACE)
--user=NAME	whom sessions name as requester; default: `$USER`, `$LOGNAME`, your login name (PIGEON_USER)
--route=NAME	a label: sessions go only to workers with the same one (PIGEON_ROUTE)'
_pigeon_options[stop]='-h	show this help message and exit
--help	show this help message and exit
--signal=N	send this signal (a number or a name) instead of hanging up
--force	publish an end although its worker does not answer; only after that has been silent for `host_timeout`
--config=FILE	read the settings from FILE (PIGEON_CONFIG)
--cache=DIR	the shared directory; required from somewhere (PIGEON_CACHE)
--namespace=NAME	clients and workers of one namespace see each other; default: the value of `user` (PIGEON_NAMESPACE)
--user=NAME	whom sessions name as requester; default: `$USER`, `$LOGNAME`, your login name (PIGEON_USER)
--route=NAME	a label: sessions go only to workers with the same one (PIGEON_ROUTE)'
_pigeon_options[top]='-h	show this help message and exit
--help	show this help message and exit
--interval=TIME	look again after TIME (1s)
--config=FILE	read the settings from FILE (PIGEON_CONFIG)
--cache=DIR	the shared directory; required from somewhere (PIGEON_CACHE)
--namespace=NAME	clients and workers of one namespace see each other; default: the value of `user` (PIGEON_NAMESPACE)
--user=NAME	whom sessions name as requester; default: `$USER`, `$LOGNAME`, your login name (PIGEON_USER)
--route=NAME	a label: sessions go only to workers with the same one (PIGEON_ROUTE)'
_pigeon_options[ping]='-h	show this help message and exit
--help	show this help message and exit
--count=N	so many times (3); 0: until Ctrl-C
--interval=TIME	TIME between two (1s)
--timeout=TIME	wait so long for each (5s)
--config=FILE	read the settings from FILE (PIGEON_CONFIG)
--cache=DIR	the shared directory; required from somewhere (PIGEON_CACHE)
--namespace=NAME	clients and workers of one namespace see each other; default: the value of `user` (PIGEON_NAMESPACE)
--user=NAME	whom sessions name as requester; default: `$USER`, `$LOGNAME`, your login name (PIGEON_USER)
--route=NAME	a label: sessions go only to workers with the same one (PIGEON_ROUTE)'
_pigeon_options[doctor]='-h	show this help message and exit
--help	show this help message and exit
--json	as one JSON array
--release=DIRECTORY	free the lock of DIRECTORY, if its holder on this host is dead
--gone-host=HOST	with --release: if its holder on HOST is dead, which you know to be down for good
--config=FILE	read the settings from FILE (PIGEON_CONFIG)
--cache=DIR	the shared directory; required from somewhere (PIGEON_CACHE)
--namespace=NAME	clients and workers of one namespace see each other; default: the value of `user` (PIGEON_NAMESPACE)
--user=NAME	whom sessions name as requester; default: `$USER`, `$LOGNAME`, your login name (PIGEON_USER)
--route=NAME	a label: sessions go only to workers with the same one (PIGEON_ROUTE)'
_pigeon_options[config]='-h	show this help message and exit
--help	show this help message and exit'
_pigeon_options[clean]='-h	show this help message and exit
--help	show this help message and exit
-n	only say what would be removed
--dry-run	only say what would be removed
--older-than=TIME	leave those that ended within the last TIME: 90s, 2d, or seconds (60)
--config=FILE	read the settings from FILE (PIGEON_CONFIG)
--cache=DIR	the shared directory; required from somewhere (PIGEON_CACHE)
--namespace=NAME	clients and workers of one namespace see each other; default: the value of `user` (PIGEON_NAMESPACE)
--user=NAME	whom sessions name as requester; default: `$USER`, `$LOGNAME`, your login name (PIGEON_USER)
--route=NAME	a label: sessions go only to workers with the same one (PIGEON_ROUTE)'
_pigeon_options[net]='-h	show this help message and exit
--help	show this help message and exit
--no-catch	only set variables
--no-env	set no variables
--direct=LIST	names, addresses, networks to reach from here, with commas
--status	show who is connected where, and run nothing
--json	with --status: for programs
-L=[BIND:]PORT:HOST:HOSTPORT	a port here that leads to HOST over there
-R=[BIND:]PORT:HOST:HOSTPORT	a port of the worker'\''s host that leads to HOST here
-D=[BIND:]PORT	the proxy'\''s own port (HTTP and SOCKS); default: a free one
-g	other machines may use these ports, too
--auth	ask for a password besides
-v	say what happens to the session
--verbose	say what happens to the session
--config=FILE	read the settings from FILE (PIGEON_CONFIG)
--cache=DIR	the shared directory; required from somewhere (PIGEON_CACHE)
--namespace=NAME	clients and workers of one namespace see each other; default: the value of `user` (PIGEON_NAMESPACE)
--user=NAME	whom sessions name as requester; default: `$USER`, `$LOGNAME`, your login name (PIGEON_USER)
--route=NAME	a label: sessions go only to workers with the same one (PIGEON_ROUTE)'
_pigeon_options[proxy]='-h	show this help message and exit
--help	show this help message and exit
--print-env	print the variables for a shell, and go on in the background
-L=[BIND:]PORT:HOST:HOSTPORT	a port here that leads to HOST over there
-R=[BIND:]PORT:HOST:HOSTPORT	a port of the worker'\''s host that leads to HOST here
-D=[BIND:]PORT	the proxy'\''s own port (HTTP and SOCKS); default: a free one
-g	other machines may use these ports, too
--auth	ask for a password besides
-v	say what happens to the session
--verbose	say what happens to the session
--config=FILE	read the settings from FILE (PIGEON_CONFIG)
--cache=DIR	the shared directory; required from somewhere (PIGEON_CACHE)
--namespace=NAME	clients and workers of one namespace see each other; default: the value of `user` (PIGEON_NAMESPACE)
--user=NAME	whom sessions name as requester; default: `$USER`, `$LOGNAME`, your login name (PIGEON_USER)
--route=NAME	a label: sessions go only to workers with the same one (PIGEON_ROUTE)'
_pigeon_options[connect]='-h	show this help message and exit
--help	show this help message and exit
--config=FILE	read the settings from FILE (PIGEON_CONFIG)
--cache=DIR	the shared directory; required from somewhere (PIGEON_CACHE)
--namespace=NAME	clients and workers of one namespace see each other; default: the value of `user` (PIGEON_NAMESPACE)
--user=NAME	whom sessions name as requester; default: `$USER`, `$LOGNAME`, your login name (PIGEON_USER)
--route=NAME	a label: sessions go only to workers with the same one (PIGEON_ROUTE)'
_pigeon_options[completion]='-h	show this help message and exit
--help	show this help message and exit
--config=FILE	read the settings from FILE (PIGEON_CONFIG)
--cache=DIR	the shared directory; required from somewhere (PIGEON_CACHE)
--namespace=NAME	clients and workers of one namespace see each other; default: the value of `user` (PIGEON_NAMESPACE)
--user=NAME	whom sessions name as requester; default: `$USER`, `$LOGNAME`, your login name (PIGEON_USER)
--route=NAME	a label: sessions go only to workers with the same one (PIGEON_ROUTE)'
_pigeon_options[verbs]='worker:run the commands that clients publish in the shared directory
history:show what ran through pigeon, newest last
sessions:list what is pending and running in the namespace
inspect:tell everything that is known of a session, from the share and from its worker'\''s journal, and what is the matter with it
attach:take over a running session
wait:wait until sessions have ended, and end with the exit code of the last one named
logs:print what a session has written, its stderr to stderr
stop:end sessions
top:show the workers, what runs, and what waits for whom, until `q`
ping:have a worker run `true`, and tell how long it takes from the request to its end
doctor:look whether the share can be used from here, and what it really does
config:look at pigeon'\''s settings, or begin a file
clean:remove finished sessions from the share
net:run a command here, with the network of a worker
proxy:lend a worker'\''s network to programs here
connect:join stdin and stdout with a connection that a worker makes, through a running `pigeon net` or `pigeon proxy` of yours if there is one
completion:print what makes a shell complete pigeon'\''s verbs, options and session ids, and the command'\''s own
help:print a help text'
# <!-- end: zsh_options -->

_pigeon_value() { # the values of the option $1
  case $1 in
    (*FILE|*PATH) _files ;;
    (*DIR|*DIRECTORY) _files -/ ;;
    (*'{'*'}'*) compadd -- ${(s:,:)${${1#*\{}%\}*}} ;;
    (*) _message "${1#*=}" ;;
  esac
}

_pigeon_flags() { # the options of the verb $1, with their descriptions
  local -a shown=() line
  for line in ${(f)_pigeon_options[$1]}; do shown+=("${${line%%$'\t'*}%%=*}:${line#*$'\t'}"); done
  _describe -o option shown
}

_pigeon_takes() { # sets REPLY to NAME=METAVAR where the option $2 of the verb $1 takes a value
  local line
  for line in ${(f)_pigeon_options[$1]}; do
    REPLY=${line%%$'\t'*}
    [[ $REPLY == $2=* ]] && return 0
  done
  return 1
}

_pigeon() {
  local first=2 verb REPLY
  local -a sessions
  while (( first < CURRENT )) && [[ $words[first] == -* ]]; do
    [[ $words[first] == -- ]] && (( first++ )) && break
    _pigeon_takes . $words[first] && (( first++ ))
    (( first++ ))
  done
  verb=$words[first]
  if (( first > CURRENT )); then
    _pigeon_takes . $words[CURRENT-1] && _pigeon_value $REPLY
  elif (( first == CURRENT )); then
    if [[ $words[CURRENT] == -* ]]; then
      _pigeon_flags .
    else
      local -a verbs=(${(f)_pigeon_options[verbs]})
      _describe -t verbs verb verbs
      _command_names -e
    fi
  elif [[ $words[first-1] != -- && -n ${(M)${(f)_pigeon_options[verbs]}:#$verb:*} ]]; then
    if [[ $words[CURRENT] == -* ]]; then
      _pigeon_flags $verb
    elif _pigeon_takes $verb $words[CURRENT-1]; then
      _pigeon_value $REPLY
    else
      case $verb in
        (attach|inspect|logs|stop|wait)
          sessions=("${(@f)$(pigeon completion sessions 2>/dev/null | sed 's/\t/:/')}")
          _describe -t sessions session sessions ;;
        (help) sessions=(${(f)_pigeon_options[verbs]}); _describe -t verbs verb sessions ;;
        (config) compadd show path init ;;
        (completion) compadd bash zsh fish ;;
      esac
    fi
  else
    shift $(( first - 1 )) words
    (( CURRENT -= first - 1 ))
    _normal
  fi
}

if [[ $funcstack[1] == _pigeon ]]; then _pigeon "$@"; else compdef _pigeon pigeon; fi
