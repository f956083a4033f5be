"""LaTRO (arXiv 2411.04282): rationales rewarded by the model's own likelihood.

Options mark where the defaults differ from the authors' code: `epochs_count`, `official_reward`, `unfinished`,
`choose_on` and `stop_on_decline`.
"""
