"""The sentences of the specification with MUST, and mutants that break each."""

CLAUSES: dict[str, tuple[str, ...]] = {
    "A decoder MUST hash the file as it is.": ("fingerprint_of_tensors", "any_model"),
    "The entropy path is integer arithmetic, and an implementation MUST find exactly these integers.": (
        "slope", "half_to_even", "sums_floored", "activations_unsaturated", "scales_to_64", "decoder_slope",
        "psi_in_strips", "decoder_parameters_in_strips",
    ),
    "A stream MUST hold their symbols in this order": (
        "row_lag_4", "raster_order", "z_by_position", "decoder_wavefronts_by_column", "columns_in_11_bits",
        "decoder_places_in_13_bits",
    ),
    "It MUST be in [2^31, 2^63).": ("high_state_unchecked", "decoder_state_unchecked"),
    "m MUST be at most 7, and the last digit MUST NOT be 0.": ("eight_digits", "zero_digit", "one_digit_of_zero"),
    "After the last symbol, x MUST be 2^31, and words MUST NOT be left.": (
        "last_state_unchecked", "words_left_unchecked", "no_symbols_unchecked",
    ),
    "Given symbols and tables MUST become exactly these bytes.": (
        "states_to_2_62", "words_first_out_first", "within_the_table", "index_in_8_bits",
        "decoder_digits_highest_first",
    ),
    "A decoder MUST give the kind of the first check that fails.": (
        "version_before_magic", "length_before_version", "fingerprint_first", "state_before_length",
        "count_judged_early", "decoder_checksum_before_sizes",
    ),
    "A reader MUST accept any level, and any window": ("level_9_alone", "window_of_32_kib_alone"),
    "Given latents MUST become exactly this buffer": ("z_rounded", "z_before_y", "items_big_endian"),
    "`g_s` of an unpacked buffer MUST be exactly the `x_hat`": ("operation_g_s_drifts",),
    "A reader MUST give the kind of the first of these checks that fails.": (
        "limit_before_shapes", "decoder_one_kind_of_length", "adler_before_values", "short_zlib_header",
    ),
    "All other samples of a decoded picture MUST be those of the golden one": (
        "samples_floored", "samples_wrap", "multiplied_by_256", "decoder_gamma_transposed", "decoder_tiles_of_512",
        "corner_of_tiles",
    ),
    "It MUST then give them as real arithmetic does": (
        "plain_sums", "four_decimals", "float32_encoder", "decoder_x_hat_in_float32", "y_unrounded_for_h_a",
        "z_unrounded", "x_in_float64", "slope_in_float32", "g_a_roots_in_float32", "g_s_parameters_in_float32",
    ),
    "An encoder MUST replicate, and never pad with zeros.": (
        "padded_with_zeros", "padded_by_reflection", "padded_on_both_sides", "resized",
    ),
    "From given `k_z` and y, an implementation MUST find exactly these integers.": (
        "y_not_floored", "k_to_even", "k_half_away", "y_unsaturated", "symbols_in_open_loop", "encoder_unmasked",
        "decoder_y_rounded", "decoder_symbols_in_strips",
    ),
    "A decoder MUST find in them the latents and the picture that the encoder held.": ("k_clipped",),
    "Their length and their picture MUST be as good as those of the golden stream": (
        "open_loop", "k_z_without_medians", "blue_first", "divided_by_256", "pixels_from_minus_1",
        "third_tile_alone", "third_tile_first", "k_z_truncated", "colours_halved_in_rows",
    ),
    "The same picture MUST give the same bytes each time.": ("dithered", "seeded_by_the_process"),
    "Its answers MUST lie within the tolerances of the vectors.": (
        "igdn_divides", "one_gdn", "slope_of_a_fifth", "float_mu_first", "forward_in_closed_loop", "z_hat_whole",
        "sigma_from_0109", "likelihood_beside", "g_a_in_strips", "h_a_in_strips", "g_s_in_strips",
        "parameters_in_strips", "forward_in_strips", "root_of_two_steps", "pedestal_left_out",
        "likelihoods_plus_1e_6",
    ),
    "The same question MUST get the same answer again": (
        "encode_kept", "decoder_tables_kept", "psi_but_the_last", "pack_by_sum", "decode_refused_again",
    ),
    "MUST give the size of the picture": ("padded_size", "sides_in_8_bytes", "padded_in_halves"),
    "A picture that was padded as in §12 MUST give the same top left": ("padded_with_zeros",),
    "MUST refuse malformed input with its kind": (
        "missing_words_are_zero", "half_words_ignored", "adler_unchecked", "decoder_shapes_unchecked",
        "decoder_unpack_taken_again",
    ),
}  # fmt: skip
"""A part of a sentence, and the mutants that break it."""
ELSEWHERE = {
    "MUST `decompress` the blob to the same latents and picture": "PORTABLE-1: CompressAI (docs/matrix.md), and "
    "GoesAstrayElsewhere of tests/miniatures.py",
    "the figures of the 24 Kodak pictures MUST be the golden ones": "KODAK-1 and KODAK-2, with the pictures: "
    "tests/test_messages.py",
}
"""Sentences that no mutant can break here, since it takes other processes or pictures; and what shows them."""
