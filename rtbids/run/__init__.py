"""An experiment on a stream of volumes: analysis, deadlines, feedback, report.

The loop stands here: `session` waits for whatever comes first, `open_runs`, `openings` and `open_run` are the runs that volumes
come for, `lanes` the experiments on them and `part` one experiment's part in one run (`deadlines`, `prediction`, `fitting`).
`ahead` and `hearing` say which volumes and responses have come, `progress` how it goes. Around it are rooms, of which each may
use those below it only; where a file has its room's name, that is the one to begin with::

    control/    a run asked and ordered from another process: the control socket, status, orders
    (the loop)
    process/    the script's own process, how it is started and watched, and what is said between it and the run
    script/     the researcher's script: loaded, given volumes, asked for feedback; what it gives, checked
    past/       what a script sees of the past: volumes so far, feedback that has left, earlier runs
    console/    what a script reads and writes of files on the scanner's side
    chain/      the analysis, volume by volume, before the script is asked
    report/     a page made of what a run left behind; its sections/ and its figures/
    record/     what a run leaves behind: volumes, tables, maps, and where they come from
    responses/  what is sent to a run, such as button presses: listened for, bounded, read
    feedback/   where feedback goes, and the files for the stimulus computer (clients/)
    recipe/     what EXPERIMENT on the command line names: script, config, regions, analysis
"""
