# Completion of `pigeon` for fish: its verbs, options and session ids, then whatever the command itself completes.
#     pigeon completion fish | source         in ~/.config/fish/config.fish

# <!-- made by tools/docs: fish_lists -->
set -g __pigeon_verbs worker history sessions inspect attach wait logs stop top ping doctor config clean completion help
set -g __pigeon_with_value --config --cache --namespace --user --route --claim-timeout --worker-timeout -e --escape-char --driven-by
# <!-- end: fish_lists -->

function __pigeon_first # the words from the first one that is no option of pigeon's own, without what is being typed
    set -l words (commandline -opc)[2..]
    while set -q words[1]; and string match -q -- '-*' $words[1]
        if test $words[1] = --
            set words -- $words[2..]
            break
        end
        contains -- $words[1] $__pigeon_with_value; and set -e words[1]
        set -q words[1]; and set -e words[1]
    end
    printf '%s\n' $words
end

function __pigeon_is_first # nothing but options so far
    test -z "$(__pigeon_first)"
end

function __pigeon_is # one of these verbs has been typed
    contains -- "$(__pigeon_first | head -n 1)" $argv
end

function __pigeon_is_command
    set -l first (__pigeon_first)[1]
    test -n "$first"; and not contains -- $first $__pigeon_verbs
end

function __pigeon_complete_command # as if the command stood alone
    set -l words (__pigeon_first)
    test "$words[1]" = --; and set -e words[1]
    complete -C (string join ' ' -- (string escape -- $words) (commandline -ct))
end

complete -c pigeon -f
complete -c pigeon -n __pigeon_is_first -a '(__fish_complete_command)'
complete -c pigeon -n __pigeon_is_command -a '(__pigeon_complete_command)'
complete -c pigeon -n '__pigeon_is attach inspect logs stop wait' -a '(pigeon completion sessions 2>/dev/null)'
complete -c pigeon -n '__pigeon_is help' -a '$__pigeon_verbs'
complete -c pigeon -n '__pigeon_is config' -a 'show path init'
complete -c pigeon -n '__pigeon_is completion' -a 'bash zsh fish'
# <!-- made by tools/docs: fish_options -->
complete -c pigeon -n __pigeon_is_first -a worker -d 'run the commands that clients publish in the shared directory'
complete -c pigeon -n __pigeon_is_first -a history -d 'show what ran through pigeon, newest last'
complete -c pigeon -n __pigeon_is_first -a sessions -d 'list what is pending and running in the namespace'
complete -c pigeon -n __pigeon_is_first -a inspect -d 'tell everything that is known of a session, from the share and from its worker'\''s journal, and what is the matter with it'
complete -c pigeon -n __pigeon_is_first -a attach -d 'take over a running session'
complete -c pigeon -n __pigeon_is_first -a wait -d 'wait until sessions have ended, and end with the exit code of the last one named'
complete -c pigeon -n __pigeon_is_first -a logs -d 'print what a session has written, its stderr to stderr'
complete -c pigeon -n __pigeon_is_first -a stop -d 'end a session'
complete -c pigeon -n __pigeon_is_first -a top -d 'show the workers, what runs, and what waits for whom, until `q`'
complete -c pigeon -n __pigeon_is_first -a ping -d 'have a worker run `true`, and tell how long it takes from the request to its end'
complete -c pigeon -n __pigeon_is_first -a doctor -d 'look whether the share can be used from here, and what it really does'
complete -c pigeon -n __pigeon_is_first -a config -d 'look at pigeon'\''s settings, or begin a file'
complete -c pigeon -n __pigeon_is_first -a clean -d 'remove finished sessions from the share'
complete -c pigeon -n __pigeon_is_first -a completion -d 'print what makes a shell complete pigeon'\''s verbs, options and session ids, and the command'\''s own'
complete -c pigeon -n __pigeon_is_first -a help -d 'print a help text'
complete -c pigeon -n __pigeon_is_first -s t -l tty -d 'give the command a terminal even if stdin or stdout is none'
complete -c pigeon -n __pigeon_is_first -s T -l no-tty -d 'give it pipes even if both are terminals'
complete -c pigeon -n __pigeon_is_first -l no-lock -d 'run beside whatever runs in this directory'
complete -c pigeon -n __pigeon_is_first -s d -l detach -d 'start it, print the session'\''s id, and leave it to run'
complete -c pigeon -n __pigeon_is_first -s n -l no-input -d 'the command reads nothing, as with `ssh -n`: for loops that read their own input'
complete -c pigeon -n __pigeon_is_first -l keep -d 'if this client is lost, the command goes on (`pigeon attach`)'
complete -c pigeon -n __pigeon_is_first -s v -l verbose -d 'say what happens to the session, and what was put right in the command'
complete -c pigeon -n __pigeon_is_first -l config -r -F -d 'read the settings from FILE (PIGEON_CONFIG)'
complete -c pigeon -n __pigeon_is_first -l cache -x -a '(__fish_complete_directories)' -d 'the shared directory; required from somewhere (PIGEON_CACHE)'
complete -c pigeon -n __pigeon_is_first -l namespace -x -d 'clients and workers of one namespace see each other; default: the value of `user`'
complete -c pigeon -n __pigeon_is_first -l user -x -d 'whom sessions name as requester; default: `$USER`, `$LOGNAME`, your login name'
complete -c pigeon -n __pigeon_is_first -l route -x -d 'a label: sessions go only to workers with the same one (PIGEON_ROUTE)'
complete -c pigeon -n __pigeon_is_first -l claim-timeout -x -d 'give up after so long without a live worker (30 s)'
complete -c pigeon -n __pigeon_is_first -l worker-timeout -x -d 'tell when a running session is silent for so long (60 s)'
complete -c pigeon -n __pigeon_is_first -s e -l escape-char -x -d 'escapes at the start of a line: `~.` hangs up, `~?` tells the others; `none` switches'
complete -c pigeon -n __pigeon_is_first -l driven-by -x -d 'for programs: the command and how to run it come as a line of JSON from the socket FD, what'
complete -c pigeon -n __pigeon_is_first -s h -l help -d 'this text; `pigeon help VERB` tells of a verb'
complete -c pigeon -n __pigeon_is_first -s V -l version -d 'which pigeon this is'
complete -c pigeon -n '__pigeon_is worker' -s h -l help -d 'show this help message and exit'
complete -c pigeon -n '__pigeon_is worker' -l max-jobs -x -d 'commands that run at a time (4)'
complete -c pigeon -n '__pigeon_is worker' -l poll-interval -x -d 'longest wait between two looks for new sessions (0.2 s)'
complete -c pigeon -n '__pigeon_is worker' -l debug -d 'say what happens, with previews of the bytes that move'
complete -c pigeon -n '__pigeon_is worker' -l journal -r -F -d 'the journal'\''s file, on a local disk; default: `~/.pigeon.db`, or in `/var/tmp` (PIGEON_JOURNAL)'
complete -c pigeon -n '__pigeon_is worker' -l lock -x -a 'auto flock strict' -d 'how a directory is locked: `auto` decides by the filesystem (auto)'
complete -c pigeon -n '__pigeon_is worker' -l config -r -F -d 'read the settings from FILE (PIGEON_CONFIG)'
complete -c pigeon -n '__pigeon_is worker' -l cache -x -a '(__fish_complete_directories)' -d 'the shared directory; required from somewhere (PIGEON_CACHE)'
complete -c pigeon -n '__pigeon_is worker' -l namespace -x -d 'clients and workers of one namespace see each other; default: the value of `user` (PIGEON_NAMESPACE)'
complete -c pigeon -n '__pigeon_is worker' -l user -x -d 'whom sessions name as requester; default: `$USER`, `$LOGNAME`, your login name (PIGEON_USER)'
complete -c pigeon -n '__pigeon_is worker' -l route -x -d 'a label: sessions go only to workers with the same one (PIGEON_ROUTE)'
complete -c pigeon -n '__pigeon_is history' -s h -l help -d 'show this help message and exit'
complete -c pigeon -n '__pigeon_is history' -l cwd -r -F -d 'only what ran in this directory'
complete -c pigeon -n '__pigeon_is history' -l since -x -d 'only what started at TIME or later'
complete -c pigeon -n '__pigeon_is history' -l until -x -d 'only what started before TIME'
complete -c pigeon -n '__pigeon_is history' -l failed -d 'only what failed; the same as --state failed'
complete -c pigeon -n '__pigeon_is history' -l state -x -a 'claimed running exited final succeeded failed cancelled' -d 'only these; may be repeated'
complete -c pigeon -n '__pigeon_is history' -l command -x -d 'only commands with TEXT in them, in any case'
complete -c pigeon -n '__pigeon_is history' -l all -d 'pigeon'\''s own questions to a worker as well'
complete -c pigeon -n '__pigeon_is history' -l sort -x -a 'slowest waited bytes' -d 'the largest first, by running time, waiting time or bytes'
complete -c pigeon -n '__pigeon_is history' -l stats -x -a 'day directory command' -d 'sums by day, directory or program (day)'
complete -c pigeon -n '__pigeon_is history' -s n -x -d 'the newest N; 0: all (20; --stats: 12; --html: 5000)'
complete -c pigeon -n '__pigeon_is history' -l json -d 'one JSON array, stamps in UTC'
complete -c pigeon -n '__pigeon_is history' -l csv -d 'CSV with a heading, stamps in UTC'
complete -c pigeon -n '__pigeon_is history' -l path -d 'where the journal is; on a terminal, how large as well'
complete -c pigeon -n '__pigeon_is history' -l html -r -F -d 'write one page to look at, which needs no network; `-`: to stdout'
complete -c pigeon -n '__pigeon_is history' -l journal -r -F -d 'the journal'\''s file, on a local disk; default: `~/.pigeon.db`, or in `/var/tmp` (PIGEON_JOURNAL)'
complete -c pigeon -n '__pigeon_is history' -l config -r -F -d 'read the settings from FILE (PIGEON_CONFIG)'
complete -c pigeon -n '__pigeon_is history' -l cache -x -a '(__fish_complete_directories)' -d 'the shared directory; required from somewhere (PIGEON_CACHE)'
complete -c pigeon -n '__pigeon_is history' -l namespace -x -d 'clients and workers of one namespace see each other; default: the value of `user` (PIGEON_NAMESPACE)'
complete -c pigeon -n '__pigeon_is history' -l user -x -d 'whom sessions name as requester; default: `$USER`, `$LOGNAME`, your login name (PIGEON_USER)'
complete -c pigeon -n '__pigeon_is history' -l route -x -d 'a label: sessions go only to workers with the same one (PIGEON_ROUTE)'
complete -c pigeon -n '__pigeon_is sessions' -s h -l help -d 'show this help message and exit'
complete -c pigeon -n '__pigeon_is sessions' -l all -d 'finished ones too, as long as they are on the share'
complete -c pigeon -n '__pigeon_is sessions' -l cwd -r -F -d 'only those in this directory'
complete -c pigeon -n '__pigeon_is sessions' -l json -d 'as one JSON array'
complete -c pigeon -n '__pigeon_is sessions' -l watch -x -d 'again each TIME (2s), until `q`'
complete -c pigeon -n '__pigeon_is sessions' -l config -r -F -d 'read the settings from FILE (PIGEON_CONFIG)'
complete -c pigeon -n '__pigeon_is sessions' -l cache -x -a '(__fish_complete_directories)' -d 'the shared directory; required from somewhere (PIGEON_CACHE)'
complete -c pigeon -n '__pigeon_is sessions' -l namespace -x -d 'clients and workers of one namespace see each other; default: the value of `user` (PIGEON_NAMESPACE)'
complete -c pigeon -n '__pigeon_is sessions' -l user -x -d 'whom sessions name as requester; default: `$USER`, `$LOGNAME`, your login name (PIGEON_USER)'
complete -c pigeon -n '__pigeon_is sessions' -l route -x -d 'a label: sessions go only to workers with the same one (PIGEON_ROUTE)'
complete -c pigeon -n '__pigeon_is inspect' -s h -l help -d 'show this help message and exit'
complete -c pigeon -n '__pigeon_is inspect' -l json -d 'as one JSON object'
complete -c pigeon -n '__pigeon_is inspect' -s o -l output -x -d 'only these fields of --json, one a line, for scripts'
complete -c pigeon -n '__pigeon_is inspect' -l here -d 'only what can be seen from this machine'
complete -c pigeon -n '__pigeon_is inspect' -l journal -r -F -d 'the journal'\''s file, on a local disk; default: `~/.pigeon.db`, or in `/var/tmp` (PIGEON_JOURNAL)'
complete -c pigeon -n '__pigeon_is inspect' -l config -r -F -d 'read the settings from FILE (PIGEON_CONFIG)'
complete -c pigeon -n '__pigeon_is inspect' -l cache -x -a '(__fish_complete_directories)' -d 'the shared directory; required from somewhere (PIGEON_CACHE)'
complete -c pigeon -n '__pigeon_is inspect' -l namespace -x -d 'clients and workers of one namespace see each other; default: the value of `user` (PIGEON_NAMESPACE)'
complete -c pigeon -n '__pigeon_is inspect' -l user -x -d 'whom sessions name as requester; default: `$USER`, `$LOGNAME`, your login name (PIGEON_USER)'
complete -c pigeon -n '__pigeon_is inspect' -l route -x -d 'a label: sessions go only to workers with the same one (PIGEON_ROUTE)'
complete -c pigeon -n '__pigeon_is attach' -s h -l help -d 'show this help message and exit'
complete -c pigeon -n '__pigeon_is attach' -s r -l read-only -d 'only watch, until Ctrl-C; the present client stays'
complete -c pigeon -n '__pigeon_is attach' -s v -l verbose -d 'say what happens to the session'
complete -c pigeon -n '__pigeon_is attach' -l config -r -F -d 'read the settings from FILE (PIGEON_CONFIG)'
complete -c pigeon -n '__pigeon_is attach' -l cache -x -a '(__fish_complete_directories)' -d 'the shared directory; required from somewhere (PIGEON_CACHE)'
complete -c pigeon -n '__pigeon_is attach' -l namespace -x -d 'clients and workers of one namespace see each other; default: the value of `user` (PIGEON_NAMESPACE)'
complete -c pigeon -n '__pigeon_is attach' -l user -x -d 'whom sessions name as requester; default: `$USER`, `$LOGNAME`, your login name (PIGEON_USER)'
complete -c pigeon -n '__pigeon_is attach' -l route -x -d 'a label: sessions go only to workers with the same one (PIGEON_ROUTE)'
complete -c pigeon -n '__pigeon_is wait' -s h -l help -d 'show this help message and exit'
complete -c pigeon -n '__pigeon_is wait' -l timeout -x -d 'give up after TIME, with exit code 124'
complete -c pigeon -n '__pigeon_is wait' -l config -r -F -d 'read the settings from FILE (PIGEON_CONFIG)'
complete -c pigeon -n '__pigeon_is wait' -l cache -x -a '(__fish_complete_directories)' -d 'the shared directory; required from somewhere (PIGEON_CACHE)'
complete -c pigeon -n '__pigeon_is wait' -l namespace -x -d 'clients and workers of one namespace see each other; default: the value of `user` (PIGEON_NAMESPACE)'
complete -c pigeon -n '__pigeon_is wait' -l user -x -d 'whom sessions name as requester; default: `$USER`, `$LOGNAME`, your login name (PIGEON_USER)'
complete -c pigeon -n '__pigeon_is wait' -l route -x -d 'a label: sessions go only to workers with the same one (PIGEON_ROUTE)'
complete -c pigeon -n '__pigeon_is logs' -s h -l help -d 'show this help message and exit'
complete -c pigeon -n '__pigeon_is logs' -s f -l follow -d 'go on until the session has ended'
complete -c pigeon -n '__pigeon_is logs' -l config -r -F -d 'read the settings from FILE (PIGEON_CONFIG)'
complete -c pigeon -n '__pigeon_is logs' -l cache -x -a '(__fish_complete_directories)' -d 'the shared directory; required from somewhere (PIGEON_CACHE)'
complete -c pigeon -n '__pigeon_is logs' -l namespace -x -d 'clients and workers of one namespace see each other; default: the value of `user` (PIGEON_NAMESPACE)'
complete -c pigeon -n '__pigeon_is logs' -l user -x -d 'whom sessions name as requester; default: `$USER`, `$LOGNAME`, your login name (PIGEON_USER)'
complete -c pigeon -n '__pigeon_is logs' -l route -x -d 'a label: sessions go only to workers with the same one (PIGEON_ROUTE)'
complete -c pigeon -n '__pigeon_is stop' -s h -l help -d 'show this help message and exit'
complete -c pigeon -n '__pigeon_is stop' -l signal -x -d 'send this signal (a number or a name) instead of hanging up'
complete -c pigeon -n '__pigeon_is stop' -l force -d 'publish an end although its worker does not answer; only after that has been silent for `host_timeout`'
complete -c pigeon -n '__pigeon_is stop' -l config -r -F -d 'read the settings from FILE (PIGEON_CONFIG)'
complete -c pigeon -n '__pigeon_is stop' -l cache -x -a '(__fish_complete_directories)' -d 'the shared directory; required from somewhere (PIGEON_CACHE)'
complete -c pigeon -n '__pigeon_is stop' -l namespace -x -d 'clients and workers of one namespace see each other; default: the value of `user` (PIGEON_NAMESPACE)'
complete -c pigeon -n '__pigeon_is stop' -l user -x -d 'whom sessions name as requester; default: `$USER`, `$LOGNAME`, your login name (PIGEON_USER)'
complete -c pigeon -n '__pigeon_is stop' -l route -x -d 'a label: sessions go only to workers with the same one (PIGEON_ROUTE)'
complete -c pigeon -n '__pigeon_is top' -s h -l help -d 'show this help message and exit'
complete -c pigeon -n '__pigeon_is top' -l interval -x -d 'look again after TIME (1s)'
complete -c pigeon -n '__pigeon_is top' -l config -r -F -d 'read the settings from FILE (PIGEON_CONFIG)'
complete -c pigeon -n '__pigeon_is top' -l cache -x -a '(__fish_complete_directories)' -d 'the shared directory; required from somewhere (PIGEON_CACHE)'
complete -c pigeon -n '__pigeon_is top' -l namespace -x -d 'clients and workers of one namespace see each other; default: the value of `user` (PIGEON_NAMESPACE)'
complete -c pigeon -n '__pigeon_is top' -l user -x -d 'whom sessions name as requester; default: `$USER`, `$LOGNAME`, your login name (PIGEON_USER)'
complete -c pigeon -n '__pigeon_is top' -l route -x -d 'a label: sessions go only to workers with the same one (PIGEON_ROUTE)'
complete -c pigeon -n '__pigeon_is ping' -s h -l help -d 'show this help message and exit'
complete -c pigeon -n '__pigeon_is ping' -l count -x -d 'so many times (3); 0: until Ctrl-C'
complete -c pigeon -n '__pigeon_is ping' -l interval -x -d 'TIME between two (1s)'
complete -c pigeon -n '__pigeon_is ping' -l timeout -x -d 'wait so long for each (5s)'
complete -c pigeon -n '__pigeon_is ping' -l config -r -F -d 'read the settings from FILE (PIGEON_CONFIG)'
complete -c pigeon -n '__pigeon_is ping' -l cache -x -a '(__fish_complete_directories)' -d 'the shared directory; required from somewhere (PIGEON_CACHE)'
complete -c pigeon -n '__pigeon_is ping' -l namespace -x -d 'clients and workers of one namespace see each other; default: the value of `user` (PIGEON_NAMESPACE)'
complete -c pigeon -n '__pigeon_is ping' -l user -x -d 'whom sessions name as requester; default: `$USER`, `$LOGNAME`, your login name (PIGEON_USER)'
complete -c pigeon -n '__pigeon_is ping' -l route -x -d 'a label: sessions go only to workers with the same one (PIGEON_ROUTE)'
complete -c pigeon -n '__pigeon_is doctor' -s h -l help -d 'show this help message and exit'
complete -c pigeon -n '__pigeon_is doctor' -l json -d 'as one JSON array'
complete -c pigeon -n '__pigeon_is doctor' -l release -x -a '(__fish_complete_directories)' -d 'free the strict lock of DIRECTORY, if its holder on this host is dead'
complete -c pigeon -n '__pigeon_is doctor' -l gone-host -x -d 'with --release: if its holder on HOST is dead, which you know to be down for good'
complete -c pigeon -n '__pigeon_is doctor' -l config -r -F -d 'read the settings from FILE (PIGEON_CONFIG)'
complete -c pigeon -n '__pigeon_is doctor' -l cache -x -a '(__fish_complete_directories)' -d 'the shared directory; required from somewhere (PIGEON_CACHE)'
complete -c pigeon -n '__pigeon_is doctor' -l namespace -x -d 'clients and workers of one namespace see each other; default: the value of `user` (PIGEON_NAMESPACE)'
complete -c pigeon -n '__pigeon_is doctor' -l user -x -d 'whom sessions name as requester; default: `$USER`, `$LOGNAME`, your login name (PIGEON_USER)'
complete -c pigeon -n '__pigeon_is doctor' -l route -x -d 'a label: sessions go only to workers with the same one (PIGEON_ROUTE)'
complete -c pigeon -n '__pigeon_is config' -s h -l help -d 'show this help message and exit'
complete -c pigeon -n '__pigeon_is clean' -s h -l help -d 'show this help message and exit'
complete -c pigeon -n '__pigeon_is clean' -s n -l dry-run -d 'only say what would be removed'
complete -c pigeon -n '__pigeon_is clean' -l older-than -x -d 'leave those that ended within the last TIME: 90s, 2d, or seconds (60)'
complete -c pigeon -n '__pigeon_is clean' -l config -r -F -d 'read the settings from FILE (PIGEON_CONFIG)'
complete -c pigeon -n '__pigeon_is clean' -l cache -x -a '(__fish_complete_directories)' -d 'the shared directory; required from somewhere (PIGEON_CACHE)'
complete -c pigeon -n '__pigeon_is clean' -l namespace -x -d 'clients and workers of one namespace see each other; default: the value of `user` (PIGEON_NAMESPACE)'
complete -c pigeon -n '__pigeon_is clean' -l user -x -d 'whom sessions name as requester; default: `$USER`, `$LOGNAME`, your login name (PIGEON_USER)'
complete -c pigeon -n '__pigeon_is clean' -l route -x -d 'a label: sessions go only to workers with the same one (PIGEON_ROUTE)'
complete -c pigeon -n '__pigeon_is completion' -s h -l help -d 'show this help message and exit'
complete -c pigeon -n '__pigeon_is completion' -l config -r -F -d 'read the settings from FILE (PIGEON_CONFIG)'
complete -c pigeon -n '__pigeon_is completion' -l cache -x -a '(__fish_complete_directories)' -d 'the shared directory; required from somewhere (PIGEON_CACHE)'
complete -c pigeon -n '__pigeon_is completion' -l namespace -x -d 'clients and workers of one namespace see each other; default: the value of `user` (PIGEON_NAMESPACE)'
complete -c pigeon -n '__pigeon_is completion' -l user -x -d 'whom sessions name as requester; default: `$USER`, `$LOGNAME`, your login name (PIGEON_USER)'
complete -c pigeon -n '__pigeon_is completion' -l route -x -d 'a label: sessions go only to workers with the same one (PIGEON_ROUTE)'
# <!-- end: fish_options -->
