"""Run models in a process of their own, for kernel sets chosen by STERNA_ISA: `JOBS.json OUT.npz`.

A job is [name, model path, prompts, threads, tokens a block, type of the KV cache, adapters…].
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np


def engine_logits(path, prompts, *, threads=2, block=264, kv="f32", adapters=()):
    """Return the engine's logits after each token of each prompt, run in blocks of so many tokens."""
    from backend.inference import load_model, model

    loaded = load_model(path, threads=threads, context=512, kv=kv, adapter=adapters)
    usual, model.BLOCK_TOKENS = model.BLOCK_TOKENS, block
    try:
        return [loaded.logits(ids) for ids in prompts]
    finally:
        model.BLOCK_TOKENS = usual
        loaded.close()


def logits_under(isa, jobs, folder):
    """Return {name: logits of each prompt} of jobs run under one kernel set, in a child."""
    folder = Path(folder)
    (folder / "jobs.json").write_text(json.dumps(jobs))
    out = folder / f"{isa}.npz"
    command = [sys.executable, __file__, str(folder / "jobs.json"), str(out)]
    environment = os.environ | {"STERNA_ISA": isa}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [isa]
    with np.load(out) as found:
        return {job[0]: [found[f"{job[0]}/{n}"] for n in range(len(job[2]))] for job in jobs}


def main(jobs_path, out):
    """Run the jobs and save their logits; say which kernel set ran."""
    from ext.cpu import isa

    found = {}
    for name, path, prompts, threads, block, kv, *adapters in json.loads(
        Path(jobs_path).read_text()
    ):
        how = {"threads": threads, "block": block, "kv": kv, "adapters": adapters}
        logits = engine_logits(path, prompts, **how)
        found |= {f"{name}/{n}": values for n, values in enumerate(logits)}
    np.savez(out, **found)
    sys.stdout.write(isa())


if __name__ == "__main__":
    main(*sys.argv[1:])
