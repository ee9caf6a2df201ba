"""Makes the shipped models. Run from the root of the repository:

    python -m training.train training/lite-q4.toml --data PHOTOGRAPHS --out runs/lite-q4
    python -m training.export runs/lite-q4 lite-q4.safetensors --data PHOTOGRAPHS
    python -m training.log runs/lite-q4 -o training/logs/lite-q4.csv
    python -m training.card kodak.json -o docs/models.md

`data` draws the batches, `objective` is the noisy pass and its loss, `train` the step and the run.
"""
