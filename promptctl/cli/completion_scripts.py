"""What a shell runs at the Tab key: it hands the words up to the cursor to `promptctl __complete`.

The answer is one candidate a line, whole words. Bash breaks words at `:`, before `@` and elsewhere, and hands over what
it will replace: its script cuts off what the line has before that.
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
        COMPREPLY+=("${candidate#"$before"}")
    done < <("${words[0]}" __complete "${words[@]:1}" 2>/dev/null)
    [[ ${#COMPREPLY[@]} -eq 1 && "${COMPREPLY[0]}" == *@ ]] && compopt -o nospace
    return 0
}
complete -o default -F _promptctl promptctl
""",
    "zsh": """\
#compdef promptctl
_promptctl() {
    local -a candidates
    candidates=("${(@f)$("${words[1]}" __complete "${(@)words[2,$CURRENT]}" 2>/dev/null)}")
    candidates=(${candidates:#})
    if (( ${#candidates} )); then
        compadd -Q -S '' -- "${(@M)candidates:#*@}"
        compadd -Q -- "${(@)candidates:#*@}"
    else
        _files
    fi
}
compdef _promptctl promptctl
""",
    "fish": """\
function __promptctl_complete
    set -l words (commandline --current-process --tokenize --cut-at-cursor)
    set -l current (commandline --current-token --cut-at-cursor)
    $words[1] __complete $words[2..-1] "$current" 2>/dev/null
end
complete --command promptctl --no-files --arguments '(__promptctl_complete)'
complete --command promptctl --condition 'test (count (__promptctl_complete)) -eq 0' --force-files
""",
}
