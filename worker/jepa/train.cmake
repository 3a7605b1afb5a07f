# The training loop (no LibTorch in its sources), and the loop with the real learner.
add_library(jepa_train_run STATIC train_run.cc gradient_exchange.cc checkpoint_saver.cc run_checkpoint.cc
  data_meter.cc mask_streams.cc probe_plan.cc probe_runner.cc host_state.cc rate_meter.cc collapse_alarm.cc health_watch.cc
  non_finite_policy.cc save_interval.cc start_run.cc fault_injector.cc)
target_link_libraries(jepa_train_run PRIVATE jepa_dist jepa_network_check
  PUBLIC jepa_plan jepa_data jepa_checkpoint jepa_exchange jepa_eval ijepa_common)

add_library(jepa STATIC trainer.cc)
target_link_libraries(jepa PRIVATE jepa_train_run jepa_model PUBLIC ijepa_common)
