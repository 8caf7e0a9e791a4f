// Generated from crds/trainingruntimes.yaml by controller/api/generate.ts; edit the CRD and run `make generate`.

/**
 * What stands behind a job; each field is described, and ruled, as in a TrainingJob.
 */
export interface TrainingRuntimeSpec {
/**
 * Image whose entry point is the agent (trainingjob agent); spec.trainer.custom.image of a job goes before it. The operator's own trainer image when absent.
 */
image?: string
/**
 * Which jobs it is for, by their kind of trainer; jobs of any kind when none is there.
 */
trainer?: {
/**
 * For jobs with spec.trainer.fineTune: defaults for them.
 */
fineTune?: {
/**
 * For jobs of this method only; of any method when absent, and each then takes the parameters that it has.
 */
method?: ("SFT" | "CPT" | "DPO" | "ORPO" | "RLHF")
/**
 * Hyper-parameters, named as in transformers and TRL; decimals are strings.
 */
parameters?: {
/**
 * Passes over the rows. Default: 3 (SFT, DPO, RLHF, ORPO), 1 (CPT).
 */
numTrainEpochs?: number
/**
 * Steps of the optimizer, instead of numTrainEpochs.
 */
maxSteps?: number
/**
 * Highest learning rate. Default: 5e-5 (SFT), 2e-5 (CPT), 5e-6 (DPO), 1e-5 (RLHF), 8e-6 (ORPO).
 */
learningRate?: string
/**
 * How the learning rate changes after the warm-up. Default: cosine.
 */
lrSchedulerType?: ("linear" | "cosine" | "cosine_with_restarts" | "cosine_with_min_lr" | "polynomial" | "inverse_sqrt" | "warmup_stable_decay" | "constant" | "constant_with_warmup")
/**
 * What some schedules take.
 */
lrSchedulerKwargs?: {
/**
 * Restarts of cosine_with_restarts; 1 when absent.
 */
numCycles?: number
/**
 * Where cosine_with_min_lr ends, as a share of learningRate; 0.1 when absent.
 */
minLrRate?: string
/**
 * Power of polynomial, which ends at zero; 1 when absent.
 */
power?: string
/**
 * Steps at the end in which warmup_stable_decay falls to zero, never more than the warm-up leaves; a tenth of the run when absent.
 */
numDecaySteps?: number
}
/**
 * Share of the steps in which the learning rate rises. Default: 0.03.
 */
warmupRatio?: string
/**
 * Steps in which the learning rate rises, instead of warmupRatio; clamped to the run.
 */
warmupSteps?: number
/**
 * Rows at once on each GPU while training. Default: 4.
 */
perDeviceTrainBatchSize?: number
/**
 * Rows at once on each GPU while evaluating. Default: 4.
 */
perDeviceEvalBatchSize?: number
/**
 * Batches of each step. Default: 1 (SFT, CPT, DPO, ORPO), 4 (RLHF).
 */
gradientAccumulationSteps?: number
/**
 * Most tokens of a row, of a sequence that rows are packed into, or of a prompt (RLHF). Default: 2048 (SFT), 4096 (CPT), 512 (DPO, RLHF), 1024 (ORPO).
 */
maxLength?: number
/**
 * Rows share sequences, without seeing each other (SFT, CPT). Default: false (SFT), true (CPT).
 */
packing?: boolean
/**
 * Only the assistant's turns of a conversation are trained on (SFT). Default: true.
 */
assistantOnlyLoss?: boolean
/**
 * How much is kept of the model before (DPO, RLHF), or how much preferences weigh (ORPO). Default: 0.1 (DPO, ORPO), 0.05 (RLHF).
 */
beta?: string
/**
 * Answers to each prompt (RLHF), compared with each other; perDeviceTrainBatchSize times gradientAccumulationSteps is a multiple of it. Default: 4.
 */
numGenerations?: number
/**
 * Most tokens of an answer (RLHF). Default: 256.
 */
maxCompletionLength?: number
/**
 * How freely answers are drawn (RLHF). Default: 1.
 */
temperature?: string
/**
 * Weight decay. Default: 0.01.
 */
weightDecay?: string
/**
 * Norm that gradients are clipped to, 0 clips nothing. Default: 1 (SFT, CPT, RLHF, ORPO), 0.3 (DPO).
 */
maxGradNorm?: string
/**
 * Optimizer. Default: adamw_torch.
 */
optim?: ("adamw_torch" | "adamw_torch_fused" | "adamw_8bit" | "paged_adamw_8bit" | "paged_adamw_32bit" | "adafactor")
/**
 * Steps between reports of the train loss. Default: 10.
 */
loggingSteps?: number
/**
 * Computes activations again instead of keeping them: less memory, more time. Default: false.
 */
gradientCheckpointing?: boolean
/**
 * Seed of the order of rows, of new weights and of dropout. Default: 42.
 */
seed?: number
/**
 * Trackers that get what is logged, named as in transformers and set up by variables in spec.trainer.env as their makers say (WANDB_API_KEY, MLFLOW_TRACKING_URI, ...); the files of tensorboard lie in the output. An empty list is none. Default: tensorboard.
 */
reportTo?: ("azure_ml" | "clearml" | "codecarbon" | "comet_ml" | "dagshub" | "dvclive" | "flyte" | "kubeflow" | "mlflow" | "neptune" | "swanlab" | "tensorboard" | "trackio" | "wandb")[]
}
/**
 * Every job that names the runtime trains an adapter of low rank, with these words behind its own.
 */
lora?: {
/**
 * Rank. Default: 16.
 */
r?: number
/**
 * Scale of the adapter, over its rank. Default: 32.
 */
alpha?: number
/**
 * Dropout in front of the adapter; DPO and ORPO train without any. Default: 0.1.
 */
dropout?: string
/**
 * Ends of the names of linear modules that get an adapter; those of the architecture when absent.
 */
targetModules?: string[]
}
/**
 * Precision of the weights that the adapter sits on, while training; as computed when absent.
 */
quantization?: ("NF4" | "Int8")
/**
 * How several processes of one pod train together, one on each GPU; a step is perDeviceTrainBatchSize times processes times gradientAccumulationSteps rows.
 */
distribution?: {
/**
 * DDP: each process has the whole model. FSDP: each has a part of it, for all weights of a model that no GPU holds. DDP when absent.
 */
strategy?: ("DDP" | "FSDP")
/**
 * How many; one for each GPU of the pod when absent, and one where there is none.
 */
processes?: number
}
}
/**
 * For jobs with spec.trainer.tabular: defaults for them.
 */
tabular?: {
/**
 * Hyper-parameters of the family, named as in its library; decimals are strings. One that is left out has the default that is named here.
 */
parameters?: {
/**
 * Set of other defaults for lightgbm: Large is for more than 100,000 rows; docs/tabular.md lists them. Default: Default.
 */
preset?: ("Default" | "Large" | "Fast" | "HighAccuracy")
/**
 * Of xgboost, lightgbm and random_forest. Trees; in xgboost and lightgbm boosting rounds, of which one is one step. Default: 100.
 */
nEstimators?: number
/**
 * Of xgboost, lightgbm and random_forest. Most depth of a tree. Default: 6 (xgboost), none (lightgbm, random_forest).
 */
maxDepth?: number
/**
 * Of xgboost, lightgbm, catboost and keras. Shrinkage of each round; in keras the rate of the optimizer. Default: 0.1 (xgboost, lightgbm), 0.03 (catboost), 0.001 (keras).
 */
learningRate?: string
/**
 * Of xgboost and catboost. Share of the rows that each round sees. Default: 0.8.
 */
subsample?: string
/**
 * Of xgboost. Share of the columns that each tree sees. Default: 0.8.
 */
colsampleBytree?: string
/**
 * Of xgboost. Least sum of instance weight in a leaf. Default: 1.
 */
minChildWeight?: string
/**
 * Of xgboost and svm. In xgboost the least loss reduction of a split; in svm the width of the kernel: scale, auto or a number. Default: 0 (xgboost), scale (svm).
 */
gamma?: string
/**
 * Of xgboost. L1 penalty on weights. Default: 0.
 */
regAlpha?: string
/**
 * Of xgboost. L2 penalty on weights. Default: 1.
 */
regLambda?: string
/**
 * Of xgboost, lightgbm, catboost, random_forest, svm and keras. Seed of the model's own chances. Default: 42.
 */
randomState?: number
/**
 * Of lightgbm. Most leaves of a tree. Default: 31.
 */
numLeaves?: number
/**
 * Of lightgbm. Share of the columns that each tree sees. Default: 0.8.
 */
featureFraction?: string
/**
 * Of lightgbm. Share of the rows that each bag has. Default: 0.8.
 */
baggingFraction?: string
/**
 * Of lightgbm. Rounds after which a new bag is drawn; 0 for no bags. Default: 1.
 */
baggingFreq?: number
/**
 * Of lightgbm. Least rows in a leaf. Default: 20.
 */
minDataInLeaf?: number
/**
 * Of lightgbm. Least gain of a split. Default: 0.
 */
minGainToSplit?: string
/**
 * Of lightgbm. L1 penalty on leaves. Default: 0.
 */
lambdaL1?: string
/**
 * Of lightgbm. L2 penalty on leaves. Default: 0.
 */
lambdaL2?: string
/**
 * Of catboost. Boosting rounds; one round is one step. Default: 1000.
 */
iterations?: number
/**
 * Of catboost. Depth of a tree. Default: 6.
 */
depth?: number
/**
 * Of catboost. L2 penalty on leaves. Default: 3.
 */
l2LeafReg?: string
/**
 * Of catboost. How rows are drawn for a round; with MVS and Bernoulli, subsample says how many. Default: MVS.
 */
bootstrapType?: ("MVS" | "Bernoulli" | "Bayesian" | "No")
/**
 * Of catboost. Share of the columns that each split chooses from. Default: 0.8.
 */
rsm?: string
/**
 * Of catboost. Most borders between the values of a column. Default: 254.
 */
borderCount?: number
/**
 * Of catboost. How much chance enters the choice of a split. Default: 1.
 */
randomStrength?: string
/**
 * Of random_forest. Least rows in a node that is split. Default: 2.
 */
minSamplesSplit?: number
/**
 * Of random_forest. Least rows in a leaf. Default: 1.
 */
minSamplesLeaf?: number
/**
 * Of random_forest. Columns that each split chooses from: sqrt, log2 or a share; auto is sqrt in a classification and all in a regression. Default: auto.
 */
maxFeatures?: string
/**
 * Of random_forest. Whether each tree sees rows that are drawn with replacement, or all of them. Default: true.
 */
bootstrap?: boolean
/**
 * Of svm. Penalty of rows on the wrong side; C in scikit-learn. Default: 1.
 */
c?: string
/**
 * Of svm. Kernel of the machine. Default: rbf.
 */
kernel?: ("rbf" | "linear" | "poly" | "sigmoid")
/**
 * Of svm. Degree of the kernel poly. Default: 3.
 */
degree?: number
/**
 * Of svm. Constant term of the kernels poly and sigmoid. Default: 0.
 */
coef0?: string
/**
 * Of svm. Width of the tube in which a regression counts no error. Default: 0.1.
 */
epsilon?: string
/**
 * Of svm. When the fit is good enough to end. Default: 0.001.
 */
tol?: string
/**
 * Of keras. Hidden layers, first to last; the columns go in before them, and a layer for the target follows. Default: Dense 64 relu glorot_uniform, Dense 32 relu glorot_uniform.
 */
layers?: {
/**
 * Dense has weights; Dropout leaves out a share of the units before it, in training alone, at random.
 */
type: ("Dense" | "Dropout")
/**
 * Outputs of a Dense layer.
 */
units?: number
/**
 * What a Dense layer makes of each of its sums.
 */
activation?: ("relu" | "leaky_relu" | "elu" | "selu" | "gelu" | "silu" | "tanh" | "sigmoid" | "linear")
/**
 * How the weights of a Dense layer begin; glorot_uniform when absent.
 */
kernelInitializer?: ("glorot_uniform" | "glorot_normal" | "he_uniform" | "he_normal" | "lecun_uniform" | "lecun_normal" | "random_uniform" | "random_normal")
/**
 * Share of the units that a Dropout layer leaves out, between 0 and 1.
 */
rate?: string
}[]
/**
 * Of keras. How weights follow from gradients. Default: adam.
 */
optimizer?: ("adam" | "adamw" | "nadam" | "rmsprop" | "sgd")
/**
 * Of keras. What becomes of the learning rate: Constant keeps it; CosineDecay and PolynomialDecay (a straight line) bring it to zero at the last epoch. Default: Constant.
 */
learningRateSchedule?: ("Constant" | "CosineDecay" | "PolynomialDecay")
/**
 * Of keras. What adamw takes from each weight, as a share of it times the learning rate. Default: 0.004.
 */
weightDecay?: string
/**
 * Of keras. Share of its last step that sgd adds to each. Default: 0.
 */
momentum?: string
/**
 * Of keras. Rows whose mean gradient is one update of the weights. Default: 32.
 */
batchSize?: number
/**
 * Of keras. Times that all training rows are seen; one epoch is one step. Default: 100.
 */
epochs?: number
}
}
/**
 * For jobs with spec.trainer.custom; what is started is the word of each job.
 */
custom?: {

}
/**
 * Environment of the trainer; an entry of the same name in spec.trainer.env of a job goes before. Values are shown in the status of jobs: write secretKeyRef for what is secret, which names a Secret of the job's own namespace.
 */
env?: {
/**
 * Name of the variable.
 */
name: string
/**
 * Its value, in the clear.
 */
value?: string
/**
 * Where its value is read from.
 */
valueFrom?: {
/**
 * One key of a Secret in the job's own namespace.
 */
secretKeyRef: {
/**
 * Name of the Secret.
 */
name: string
/**
 * Key in the Secret's data.
 */
key: string
}
}
}[]
}
/**
 * What the image needs of a pod.
 */
compute?: {
/**
 * Lowest CUDA version of the host, for GPU candidates.
 */
minCudaVersion?: string
/**
 * Disk of the container in GB; wiped when the container restarts. Default: 20.
 */
containerDiskGB?: number
}
/**
 * When the model is evaluated; a tenth of the run when absent.
 */
evaluation?: {
/**
 * Steps between evaluations; clamped to the run's length, and that is reported.
 */
everySteps: number
}
/**
 * How often checkpoints are saved and how many stay, for jobs that store any.
 */
checkpoints?: {
/**
 * Steps between checkpoints, a multiple of evaluation.everySteps; every evaluation when absent. A new best is saved besides.
 */
everySteps?: number
/**
 * Minutes after which one more is saved at the end of a step, counted from when the last was stored; no evaluation is needed for it. By steps alone when absent.
 */
everyMinutes?: number
/**
 * Best checkpoints that stay; the best of all is never removed. Default: 1.
 */
keepBest?: number
/**
 * Newest checkpoints that stay. Default: 2.
 */
keepLast?: number
}
/**
 * How evaluations are ranked; the lowest score is the best step. When absent, MultiMetric for fineTune, eval/reward for RLHF; for the rest, Default: {strategy: SingleMetric, metric: {name: eval/loss, goal: Minimize}}.
 */
scoring?: {
/**
 * MultiMetric weighs eval loss, the gap to train loss, perplexity and improvement; SingleMetric takes one metric.
 */
strategy: ("MultiMetric" | "SingleMetric")
/**
 * The metric of SingleMetric.
 */
metric?: {
/**
 * Name as reported at evaluations.
 */
name: string
/**
 * Whether less or more of it is better.
 */
goal: ("Minimize" | "Maximize")
}
}
/**
 * What the model of a fineTune job answers at each evaluation to prompts of rows that are held out: stored by the operator, read at /v1/jobs/{uid}/predictions, and summed up in metrics named predict/. Absent, nothing is asked.
 */
predictions?: {
/**
 * False asks nothing, whatever the runtime says. Default: true.
 */
enabled?: boolean
/**
 * Prompts that are asked, the same at every evaluation. Default: 5.
 */
sampleCount?: number
/**
 * Most tokens of an answer. Default: 256.
 */
maxNewTokens?: number
/**
 * How much is left to chance; 0 takes the likeliest token each time. Default: 0.
 */
temperature?: string
/**
 * Chooses the prompts, and the tokens where that is left to chance. Default: 42.
 */
seed?: number
/**
 * A JSON schema, as JSON, that answers are held against; predict/json_valid and predict/json_schema_valid tell how many pass.
 */
jsonSchema?: string
}
/**
 * How long each part may take, and how often it is tried again.
 */
runPolicy?: {
/**
 * Most retries after faults of the trainer itself: an error, too little memory, a failed upload, no progress. Wrong configuration or data and a run that diverged are never tried again. Default: 2.
 */
backoffLimit?: number
/**
 * Most retries after faults of the host: a pod that vanished or stopped, a trainer that never connected or fell silent, hardware that failed its checks. Default: 5.
 */
hostFaultLimit?: number
/**
 * Most retries after interruptions: a pod that was ended from outside, or that ended itself because it had lost the operator. Default: 20.
 */
interruptionLimit?: number
/**
 * Most seconds of running over all attempts of the run, each from its trainer's first contact; then it is stopped with a checkpoint and the job fails. No limit when absent.
 */
activeDeadlineSeconds?: number
/**
 * Most seconds without any pod before the job fails. Default: 14400.
 */
placementDeadlineSeconds?: number
/**
 * Most seconds from the create of a pod to the trainer's first contact. Default: 1200.
 */
startDeadlineSeconds?: number
}
/**
 * What counts as a dead trainer.
 */
watchdog?: {
/**
 * Most seconds without any report before the attempt is ended. Default: 300.
 */
heartbeatTimeoutSeconds?: number
/**
 * Most seconds in which a trainer that has reported a step or a stage reports no further one; then it is stopped with a checkpoint and the attempt counts as a fault of the trainer. Default: 1800.
 */
noProgressTimeoutSeconds?: number
/**
 * Seconds after which a pod that no longer hears of the operator stores a checkpoint and ends itself. A change is taken by the next attempt. Default: 2700.
 */
deadManSeconds?: number
}
}
