"""Tests that take a second or more, and of which a sibling takes the same path through the code.

They are run by ``pytest -m slow`` and ``.ci/run --all``; the sibling, which stays in the default
run, is another case of the same test, or one that asks the same of less.
"""

from __future__ import annotations

import pytest

COLLECTED = pytest.StashKey[set[str]]()
"""The names of all tests of a session, also of those that are not chosen."""

SLOW: dict[str, tuple[str, ...]] = {
    "tests/activations/test_capture.py": (
        "test_captured_outputs_equal_a_step_by_step_forward[alexnet]",
        "test_captured_outputs_equal_a_step_by_step_forward[googlenet]",
    ),
    "tests/activations/test_reduce.py": (
        "TestSparseProjection::test_errors_are_those_of_theory[features.4]",
    ),
    "tests/activations/test_relus.py": (
        "test_silent_channels_of_networks_get_the_slope_of_a_reference[googlenet]",
    ),
    "tests/attribution/test_calls.py": (
        "test_a_picture_has_the_same_map_in_any_batch[resnet18-deeplift]",
        "test_a_picture_has_the_same_map_in_any_batch[resnet18-lrp]",
        "test_nothing_stays_in_memory[deeplift]",
    ),
    "tests/attribution/test_cams.py": (
        "test_ablation_cam_is_that_of_a_plain_loop_whatever_runs_beside[residual]",
        "test_the_network_is_as_it_was[ablation_cam-raised]",
        "test_the_network_is_as_it_was[grad_cam_plus_plus-done]",
        "test_the_network_is_as_it_was[guided_grad_cam-done]",
        "test_the_network_is_as_it_was[score_cam-done]",
    ),
    "tests/attribution/test_deeplift.py": (
        "test_maps_sum_to_the_change_of_the_target[mobilenet_v3_small]",
        "test_maps_sum_to_the_change_of_the_target[resnet18]",
    ),
    "tests/attribution/test_explain.py": (
        "test_every_method_gives_a_map_and_leaves_everything_as_it_was[lime]",
        "test_every_method_gives_a_map_and_leaves_everything_as_it_was[shapley]",
    ),
    "tests/attribution/test_gradients.py": (
        "test_integrated_gradients_equal_captums_with_the_same_quadrature[-0.4]",
        "test_integrated_gradients_equal_captums_with_the_same_quadrature[baseline2]",
    ),
    "tests/attribution/test_in_vivo.py": (
        "test_r_and_intervals_are_those_computed_by_hand[3]",
        "test_r_and_intervals_are_those_computed_by_hand[4]",
    ),
    "tests/attribution/test_lrp.py": (
        "test_epsilon_is_input_times_gradient_of_relu_networks[resnet18]",
        "test_z_plus_conserves[resnet18]",
        "test_z_plus_conserves[squeezenet1_1]",
    ),
    "tests/attribution/test_perturbation.py": (
        "test_occlusion_equals_captums_shared_out[16-8]",
        "test_windows_of_occlusion_are_shares_of_the_picture[224-224-32-16]",
    ),
    "tests/attribution/test_rectifiers.py": (
        "test_maps_equal_a_reference_that_replaces_every_relu[mobilenet_v2-deconvnet]",
        "test_maps_equal_a_reference_that_replaces_every_relu[mobilenet_v2-guided]",
        "test_maps_equal_a_reference_that_replaces_every_relu[resnet18-guided]",
    ),
    "tests/classification/test_pipeline.py": ("test_what_came_before_can_stand_beside",),
    "tests/cli/test_compare.py": (
        "TestOrder::test_names_are_read_however_they_are_kept[names1]",
        "TestOrder::test_names_are_read_however_they_are_kept[names2]",
    ),
    "tests/cli/test_dream.py": ("TestOfASite::test_with_the_network_named_it_repeats",),
    "tests/cli/test_encode.py": (
        "test_layers_together",
        "test_layers_together_are_two_or_more",
    ),
    "tests/comparison/test_classic_baselines.py": (
        "test_encoded_they_are_what_the_feature_alone_is",
        "test_over_time_they_have_a_curve",
    ),
    "tests/comparison/test_pipeline.py": (
        "TestComparators::test_each_is_named_in_table_and_figure[cosine]",
        "TestComparators::test_each_is_named_in_table_and_figure[rho-a]",
        "TestComparators::test_each_is_named_in_table_and_figure[spearman]",
        "TestComparators::test_each_is_named_in_table_and_figure[tau-a]",
        "TestComparators::test_each_is_named_in_table_and_figure[tau-b]",
        "TestComparators::test_each_is_named_in_table_and_figure[whitened-cosine]",
    ),
    "tests/comparison/test_result_map.py": (
        "TestShowingAndSaving::test_output_is_what_save_writes",
        "TestShowingAndSaving::test_simulated_recordings_say_so",
    ),
    "tests/comparison/test_searchlight.py": ("test_metrics_that_know_the_noise[mahalanobis]",),
    "tests/encoding/test_banded_fit.py": (
        "TestAllUnits::test_readouts_sum_to_ridge_on_all_layers[field-False]",
        "TestBlocks::test_of_few_sites_they_are_as_one[field]",
        "TestBlocks::test_progress_ends_at_its_total[field]",
    ),
    "tests/encoding/test_fitting.py": (
        "TestBanded::test_a_site_that_is_constant",
        "TestBanded::test_the_search_for_more_than_two_has_a_seed",
        "TestCluster::test_it_finds_the_same[banded-]",
        "TestGroups::test_they_are_left_out_together_when_penalties_are_chosen[field-ridge]",
    ),
    "tests/encoding/test_held_out.py": (
        "TestEveryFold::test_does_not_depend_on_responses_that_it_has_not_seen[10.0-field-60x4x4]",
        "TestEveryFold::test_does_not_depend_on_responses_that_it_has_not_seen[10.0-full-60x4x4]",
        "TestEveryFold::test_equals_scikit_learn_on_the_other_stimuli[field-60x4x4]",
        "TestEveryFold::test_equals_scikit_learn_on_the_other_stimuli[full-60x4x4]",
        "TestEveryFold::test_reads_what_a_fit_predicts[field-60x4x4]",
        "TestEveryFold::test_reads_what_a_fit_predicts[full-60x4x4]",
    ),
    "tests/encoding/test_over_time.py": ("test_each_time_is_as_if_alone[4]",),
    "tests/encoding/test_reference_values.py": ("TestProtocolR::test_layers[features.7-0.5871]",),
    "tests/encoding/test_result.py": (
        "TestBanded::test_the_head_is_the_sum[full]",
        "TestHead::test_of_a_module_of_ones_own[field]",
        "TestHead::test_of_networks_that_are_known_by_name[alexnet-features.7]",
    ),
    "tests/encoding/test_ridge.py": (
        "TestAgainstScikitLearn::test_one_candidate",
        "TestAgainstScikitLearn::test_one_candidate_for_all_sites",
        "TestGroups::test_as_a_grid_search[3]",
        "TestGroups::test_as_a_grid_search[5]",
        "TestNumbers::test_blocks_of_sites[False-1]",
        "TestNumbers::test_blocks_of_sites[False-3]",
    ),
    "tests/encoding/test_sites.py": (
        "TestMaps::test_every_method_takes_a_site_of_several_layers[kernel-shap]",
        "TestMaps::test_every_method_takes_a_site_of_several_layers[lime]",
        "TestMaps::test_every_method_takes_a_site_of_several_layers[shapley]",
    ),
    "tests/faults/test_full_disk.py": (
        "test_a_disk_is_full_already",
        "test_a_small_disk_is_foreseen",
    ),
    "tests/faults/test_interrupted.py": ("test_the_batch_is_finished[forward-4-2]",),
    "tests/faults/test_kill.py": (
        "test_killed_at_a_random_moment[2]",
        "test_killed_while_components_are_fitted[4]",
    ),
    "tests/faults/test_torn.py": (
        "test_a_description[zarr.json-cut_short]",
        "test_a_flipped_byte[1234-a wrong checksum]",
    ),
    "tests/faults/test_vanished.py": (
        "test_a_folder_that_comes_back[4]",
        "test_a_folder_that_is_removed[a file]",
        "test_a_layer_that_is_removed",
    ),
    "tests/inference/test_evaluate.py": (
        "TestSeeds::test_number_of_threads[bures]",
        "TestSeeds::test_number_of_threads[tau-a]",
        "TestSeeds::test_number_of_threads[whitened-cosine]",
        "test_every_number_by_hand[tau-b]",
        "test_every_number_by_hand[whitened-cosine]",
    ),
    "tests/inference/test_flexible.py": (
        "TestAgainstFitsToRDMsThatAreCutOut::test_resamples[rho-a-False]",
        "TestAgainstFitsToRDMsThatAreCutOut::test_resamples[rho-a-True]",
        "TestAgainstFitsToRDMsThatAreCutOut::test_resamples[tau-b-False]",
        "TestAgainstFitsToRDMsThatAreCutOut::test_resamples[tau-b-True]",
        "TestFolds::test_same_bytes_on_any_number_of_threads[pearson]",
    ),
    "tests/inference/test_searchlight.py": (
        "test_scores_as_rsatoolbox[cosine]",
        "test_scores_as_rsatoolbox[rho-a]",
        "test_scores_as_rsatoolbox[tau-b]",
        "test_scores_as_rsatoolbox[whitened-cosine]",
    ),
    "tests/models/test_compact.py": ("TestOneNamesTheNeuron::test_saliency",),
    "tests/models/test_layer_table.py": (
        "test_every_family_is_traced[inception_v3]",
        "test_every_family_is_traced[mnasnet0_5]",
        "test_every_family_is_traced[mobilenet_v2]",
        "test_every_family_is_traced[regnet_y_400mf]",
        "test_tracing_without_weights_equals_a_real_forward[alexnet]",
    ),
    "tests/models/test_layouts.py": (
        "test_real_networks[densenet121-features.denseblock4.denselayer16.norm1-axes7-None]",
        "test_real_networks[timm:deit_tiny_distilled_patch16_224-blocks.3-axes12-grid12]",
    ),
    "tests/models/test_network.py": ("test_equals_torchvisions_own_loading[googlenet]",),
    "tests/models/test_receptive_fields.py": (
        "TestGradients::test_networks[alexnet-names0]",
        "TestGradients::test_networks[resnet18-names2]",
        "TestMultiplyAdds::test_totals_are_those_that_torchvision_and_torch_count[convnext_tiny]",
        "TestMultiplyAdds::test_totals_are_those_that_torchvision_and_torch_count[shufflenet_v2_x1_0]",
        "TestMultiplyAdds::test_totals_are_those_that_torchvision_and_torch_count[swin_t]",
        "test_the_architecture_alone_tells_what_the_network_does[swin_t]",
    ),
    "tests/models/test_wrappings.py": (
        "TestLoad::test_a_timm_network_that_computes_something_while_it_is_built",
    ),
    "tests/plots/test_legible.py": (
        "test_a_legend_can_be_switched_off[bands]",
        "test_a_legend_can_be_switched_off[concepts]",
        "test_a_legend_can_be_switched_off[invariance]",
        "test_a_legend_can_be_switched_off[mds]",
        "test_without_a_layout_a_legend_is_whole[by hand-curves]",
        "test_without_a_layout_a_legend_is_whole[in a grid-mds]",
        "test_without_a_layout_no_axes_of_a_grid_lies_on_another[1-2-mds]",
        "test_without_a_layout_no_axes_of_a_grid_lies_on_another[2-1-curves]",
    ),
    "tests/plots/test_marks.py": (
        "TestWhatIsCaught::test_a_lost_baseline[pixels]",
        "TestWhatIsCaught::test_a_lost_baseline[untrained]",
    ),
    "tests/plots/test_searchlight.py": (
        "test_left_is_left_and_front_is_up[affine1]",
        "test_left_is_left_and_front_is_up[affine2]",
        "test_left_is_left_and_front_is_up[affine3]",
        "test_left_is_left_and_front_is_up[affine4]",
        "test_left_is_left_and_front_is_up[affine5]",
        "test_left_is_left_and_front_is_up[affine6]",
    ),
    "tests/recordings/test_simulated.py": (
        "test_smaller_recordings_are_parts_of_larger_ones[simulate_v1]",
    ),
    "tests/reporting/test_page.py": ("TestMethodsOfSavedResults::test_searchlight",),
    "tests/similarity/test_alignment.py": (
        "TestEach::test_zarr_in_blocks[300-cka-debiased]",
        "TestEach::test_zarr_in_blocks[300-pwcca]",
        "TestEach::test_zarr_in_blocks[300-svcca]",
    ),
    "tests/similarity/test_crossvalidated.py": (
        "TestExpectation::test_no_signal_no_distance[0.3-0.0]",
    ),
    "tests/synthesis/test_atlas_attribution.py": ("TestShown::test_a_scale_says_what_of",),
    "tests/synthesis/test_film.py": (
        "test_a_zoom",
        "test_previews_of_a_film",
    ),
    "tests/synthesis/test_optimise.py": (
        "test_stopped_and_resumed_gives_the_bytes_of_an_uninterrupted_run[NAdam]",
    ),
    "tests/synthesis/test_style.py": (
        "test_a_dream_is_a_picture_like_its_file",
        "test_a_mask_may_be_white_on_a_transparent_layer",
        "test_hidden_colours_change_nothing[None-keep]",
        "test_hidden_colours_change_nothing[None-style]",
        "test_hidden_colours_change_nothing[noise-match]",
        "test_moments_and_contents_in_tiles_are_those_of_the_whole",
        "test_pictures_of_one_colour[wasserstein-content0-other0-style]",
        "test_pictures_of_one_colour[wasserstein-content1-other1-keep]",
    ),
    "tests/synthesis/test_style_film.py": (
        "test_outside_of_a_mask_the_film_goes_on",
        "test_stopped_and_taken_up_again[style]",
    ),
    "tests/synthesis/test_tiles.py": (
        "test_tiles_add_up_for_networks_of_all_kinds[resnet18-layer2]",
    ),
    "tests/synthesis/test_visualize.py": (
        "TestInterrupted::test_goes_on_to_the_same_picture[fourier]",
    ),
    "tests/test_alignment.py": ("test_one_row_per_layer_and_subject[cka]",),
    "tests/test_axes.py": ("test_real_networks[swin_t-size0]",),
    "tests/test_classic_networks.py": (
        "test_encode[lenet5]",
        "test_encode[neocognitron]",
        "test_rsa[hmax]",
        "test_rsa[neocognitron]",
    ),
    "tests/test_cluster.py": ("TestResamples::test_have_the_bits_of_one_process[tau-a]",),
    "tests/test_examples.py": (
        "test_examples_do_what_they_show[probe.encoding.fitting]",
        "test_examples_do_what_they_show[probe.tuning.shapes]",
    ),
    "tests/tuning/test_equivariance.py": (
        "TestInvariance::test_nothing_changes_where_nothing_moves[rotation]",
        "TestInvariance::test_nothing_changes_where_nothing_moves[scale]",
    ),
    "tests/tuning/test_gratings.py": ("TestKnownCells::test_v1_s_cells_of_a_wide_picture",),
    "tests/tuning/test_shapes.py": ("test_noise_is_fitted_but_not_predicted",),
    "tests/tuning/test_units.py": ("TestSites::test_they_respond_as_predicted[banded]",),
}
