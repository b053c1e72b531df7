# Completion of `pigeon` for bash: its verbs, options and session ids, then whatever the command itself completes.
#     eval "$(pigeon completion bash)"        in ~/.bashrc

_pigeon_tables() {
    local -n all=$1
    case $2 in
    # <!-- made by tools/docs: bash_options -->
    '') all='-t --tty -T --no-tty --no-lock -d --detach -n --no-input -q --quiet --keep -v --verbose --config --cache --namespace --user --route --claim-timeout --worker-timeout -e --escape-char --driven-by -h --help -V --version' ;;
    worker) all='-h --help --max-jobs --poll-interval --idle-exit --debug --journal --lock --log --print-unit --session --config --cache --namespace --user --route' ;;
    history) all='-h --help --cwd --since --until --failed --state --command --all --sort --stats --net -n --json --csv --path --html --journal --config --cache --namespace --user --route' ;;
    sessions) all='-h --help --all --cwd --json --watch --config --cache --namespace --user --route' ;;
    inspect) all='-h --help --json -o --output --here --journal --config --cache --namespace --user --route' ;;
    attach) all='-h --help -r --read-only -v --verbose --config --cache --namespace --user --route' ;;
    wait) all='-h --help --timeout --config --cache --namespace --user --route' ;;
    logs) all='-h --help -f --follow --config --cache --namespace --user --route' ;;
    stop) all='-h --help --signal --force --config --cache --namespace --user --route' ;;
    top) all='-h --help --interval --config --cache --namespace --user --route' ;;
    ping) all='-h --help --count --interval --timeout --config --cache --namespace --user --route' ;;
    doctor) all='-h --help --json --release --gone-host --config --cache --namespace --user --route' ;;
    config) all='-h --help' ;;
    clean) all='-h --help -n --dry-run --older-than --config --cache --namespace --user --route' ;;
    net) all='-h --help --no-catch --no-env --direct --status --json -L -R -D -g --auth -v --verbose --config --cache --namespace --user --route' ;;
    proxy) all='-h --help --print-env -L -R -D -g --auth -v --verbose --config --cache --namespace --user --route' ;;
    connect) all='-h --help --config --cache --namespace --user --route' ;;
    completion) all='-h --help --config --cache --namespace --user --route' ;;
    verbs) all='worker history sessions inspect attach wait logs stop top ping doctor config clean net proxy connect completion help' ;;
    # <!-- end: bash_options -->
    esac
}

# The values of option $2 of verb $1; fails for one that takes none.
_pigeon_value() {
    case "$1 $2" in
    # <!-- made by tools/docs: bash_values -->
    history\ -n | *\ --namespace | *\ --user | *\ --route | *\ --claim-timeout | *\ --worker-timeout | *\ -e | *\ --escape-char | *\ --driven-by | *\ --max-jobs | *\ --poll-interval | *\ --idle-exit | *\ --session | *\ --since | *\ --until | *\ --command | *\ --watch | *\ -o | *\ --output | *\ --timeout | *\ --signal | *\ --interval | *\ --count | *\ --gone-host | *\ --older-than | *\ --direct | *\ -L | *\ -R | *\ -D) : ;;
    *\ --config | *\ --journal | *\ --cwd | *\ --html) _pigeon_files ;;
    *\ --cache | *\ --release) _pigeon_directories ;;
    *\ --lock) _pigeon_words 'auto flock strict' ;;
    *\ --log) _pigeon_words 'auto commands ids none' ;;
    *\ --state) _pigeon_words 'claimed running exited final succeeded failed cancelled' ;;
    *\ --sort) _pigeon_words 'slowest waited bytes' ;;
    *\ --stats) _pigeon_words 'day directory command' ;;
    # <!-- end: bash_values -->
    *) return 1 ;;
    esac
}

_pigeon_words() { mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur"); }
_pigeon_files() { compopt -o filenames && mapfile -t COMPREPLY < <(compgen -f -- "$cur"); }
_pigeon_directories() { compopt -o filenames && mapfile -t COMPREPLY < <(compgen -d -- "$cur"); }

_pigeon() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} verbs options first=1 verb
    COMPREPLY=()
    _pigeon_tables options ''
    _pigeon_tables verbs verbs
    # Where pigeon's own options end.
    while ((first < COMP_CWORD)) && [[ ${COMP_WORDS[first]} == -* ]]; do
        [[ ${COMP_WORDS[first]} == -- ]] && ((first++)) && break
        _pigeon_value '' "${COMP_WORDS[first]}" && ((first++))
        ((first++))
    done
    verb=${COMP_WORDS[first]}
    COMPREPLY=()
    if ((first > COMP_CWORD)); then
        _pigeon_value '' "$prev"
    elif ((first == COMP_CWORD)); then
        if [[ $cur == -* ]]; then
            _pigeon_words "$options"
        else
            mapfile -t COMPREPLY < <(compgen -W "$verbs" -c -- "$cur" | sort -u)
        fi
    elif [[ ${COMP_WORDS[first - 1]} != -- && " $verbs " == *" $verb "* ]]; then
        if [[ $cur == -* ]]; then
            _pigeon_tables options "$verb"
            _pigeon_words "$options"
        elif ! _pigeon_value "$verb" "$prev"; then
            case $verb in
            attach | inspect | logs | stop | wait) _pigeon_words "$(pigeon completion sessions 2>/dev/null | cut -f 1)" ;;
            help) _pigeon_words "$verbs" ;;
            config) _pigeon_words "show path init" ;;
            completion) _pigeon_words "bash zsh fish" ;;
            esac
        fi
    elif declare -F _command_offset >/dev/null; then # of the package bash-completion
        _command_offset "$first"
    else
        _pigeon_files
    fi
}
complete -F _pigeon pigeon
