"""What a learner and a predictor have in common over HTTP: where they listen, how they are served,
and how they refuse."""
