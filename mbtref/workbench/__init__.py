"""The tools around the codec: command line, evaluation, pictures. They import the codec; it never imports them."""
