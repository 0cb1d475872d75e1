"""The completion scripts of bash, zsh and fish.

At the Tab key, a script passes the words up to the cursor to `promptctl __complete`. The command prints one candidate
per line: a whole word, in the order to show. The line `:files` or `:folders` represents names that only the shell can
list. No line means that there is no candidate.

Bash splits a word at characters such as `:`, `@` and `=`, and replaces only its last part, `$2`. So the script for bash
removes the parts before `$2` from each candidate. `compopt` may fail: the bash of macOS (3.2) has none, and before 4.4
it has no `nosort`.
"""

from __future__ import annotations

SCRIPTS = {
    "bash": """\
_promptctl() {
    local line="${COMP_LINE:0:COMP_POINT}" word before
    local -a words
    read -r -a words <<< "$line"
    [[ "$line" == *[[:space:]] ]] && words+=("")
    word="${words[${#words[@]}-1]}"
    before="${word%"$2"}"
    COMPREPLY=()
    local candidate
    while IFS= read -r candidate; do
        case "$candidate" in
            :files) compopt -o default 2>/dev/null ||
                while IFS= read -r candidate; do COMPREPLY+=("$candidate"); done < <(compgen -f -- "$2") ;;
            :folders) compopt -o dirnames 2>/dev/null ||
                while IFS= read -r candidate; do COMPREPLY+=("$candidate"); done < <(compgen -d -- "$2") ;;
            *) COMPREPLY+=("${candidate#"$before"}") ;;
        esac
    done < <("${words[0]}" __complete "${words[@]:1}" 2>/dev/null)
    [[ ${#COMPREPLY[@]} -gt 1 ]] && compopt -o nosort 2>/dev/null
    [[ ${#COMPREPLY[@]} -eq 1 && "${COMPREPLY[0]}" == *[@=] ]] && compopt -o nospace 2>/dev/null
    return 0
}
complete -F _promptctl promptctl
""",
    "zsh": """\
#compdef promptctl
_promptctl() {
    local -a candidates
    candidates=("${(@f)$("${words[1]}" __complete "${(@)words[2,$CURRENT]}" 2>/dev/null)}")
    candidates=(${candidates:#})
    if [[ "${candidates[1]}" == :(files|folders) ]]; then
        [[ "$PREFIX" == --*=* ]] && compset -P 1 '*='
        if [[ "${candidates[1]}" == :files ]]; then _files; else _files -/; fi
    elif (( ${#candidates} )); then
        compadd -Q -V promptctl -S '' -- "${(@M)candidates:#*@}"
        compadd -Q -V promptctl -- "${(@)candidates:#*@}"
    fi
}
compdef _promptctl promptctl
""",
    "fish": """\
function __promptctl_complete
    set -l words (commandline --current-process --tokenize --cut-at-cursor)
    set -l current (commandline --current-token --cut-at-cursor)
    set -l before (string match --regex -- '^--[^=]*=' "$current")
    set -l path (string replace -- "$before" '' "$current")
    for candidate in ($words[1] __complete $words[2..-1] "$current" 2>/dev/null)
        switch $candidate
            case :files
                __fish_complete_path "$path" | string replace -r -- '^' "$before"
            case :folders
                __fish_complete_directories "$path" '' | string replace -r -- '^' "$before"
            case '*'
                printf '%s\\n' $candidate
        end
    end
end
complete --command promptctl --no-files --keep-order --arguments '(__promptctl_complete)'
""",
}
