-- Module file for Lmod: copy it into a folder of MODULEPATH and set the two values below; then
--   module load ijepa && ijepactl submit job.yaml --set queue=gpu
local base = "/opt/ijepa" -- the programs are in base/bin
local coordinator = "coordinator:7440" -- its `listen`, as the login nodes reach it

help([[ijepactl: submits pretraining of I-JEPA to the coordinator of this cluster, and says what the jobs do.
  ijepactl submit JOB.yaml --set queue=gpu --watch
  ijepactl list | describe JOB | explain JOB | nodes]])
whatis("Name: ijepa")
whatis("Description: distributed pretraining of I-JEPA")
prepend_path("PATH", pathJoin(base, "bin"))
setenv("IJEPA_COORDINATOR", coordinator)
