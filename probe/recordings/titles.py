"""What simulated recordings are called in lists, and how many stimuli the slow one has."""

SIM_V4_TITLE = "Simulated V4: neurons tuned to boundary curvature, shown closed shapes"
SIM_V1_TITLE = "Simulated V1: Gabor energy neurons, shown gratings and textures"
SIM_V4_COMPACT_TITLE = "Simulated V4: 89 published networks of V4 neurons, Poisson spike counts"
SIM_V4_COMPACT_LICENCE = "GPL-3.0 (networks, pictures); responses generated"
N_COMPACT_STIMULI = 600
