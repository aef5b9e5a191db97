"""What the documentation of POST /experiments shows."""

from typing import Any

EXAMPLES: dict[str, Any] = {
    "preset": {
        "summary": "A table of the paper, by its preset's name: seconds on the bundled digits",
        "value": {"preset": "table-3", "scale": "smoke"},
    },
    "recommended": {
        "summary": "What to use in production: a noise class, a threshold, a network that suits the dataset",
        "value": {"preset": "recommended", "scale": "smoke"},
    },
    "digits": {
        "summary": "A sweep on the bundled digits: minutes on a laptop",
        "value": {
            "name": "how much noise the digits take",
            "dataset": "digits",
            "training": {"epochs": 4, "batch_size": 16, "learning_rate": 0.001, "first_layer_std": 0.1},
            "noise": {"family": "uniform", "quantity": 1},
            "executions": 3,
            "sweep": {"noise.quantity": [0, 1, 5]},
        },
    },
    "cifar10": {
        "summary": "The paper's recipe on CIFAR-10: 50 executions a cell, for a GPU",
        "value": {
            "name": "uniform noise, as in the paper",
            "dataset": "cifar10",
            "training": {
                "epochs": 40,
                "batch_size": 128,
                "learning_rate": 0.001,
                "learning_rate_drop": {"factor": 0.1, "every_epochs": 8},
                "momentum": 0.9,
                "weight_decay": 0.004,
                "first_layer_std": 0.0001,
            },
            "noise": {"family": "uniform", "low": 0, "high": 255, "quantity": 5},
            "holdout": 0,
            "executions": 50,
            "sweep": {"noise.quantity": [0, 1, 2, 5, 10]},
        },
    },
}
