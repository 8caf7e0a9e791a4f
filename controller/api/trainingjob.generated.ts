// Generated from crds/trainingjobs.yaml by controller/api/generate.ts; edit the CRD and run `make generate`.

/**
 * What to train, on which hardware, for how long and for how much money.
 */
export interface TrainingJobSpec {
/**
 * True: a checkpoint is stored, the pod is ended, and none is rented until it is false again; the run then goes on from that checkpoint.
 */
suspend: boolean
/**
 * Change it to begin a new run, of a finished job or instead of the run that goes on; nothing else runs a finished job again.
 */
restartToken: string
/**
 * When the condition Ready is true: while the trainer is at work and after success (Started), or only after success (Succeeded).
 */
readyWhen: ("Started" | "Succeeded")
/**
 * The Runpod account to rent in, by the name of a RunpodAccount; default is the account of the operator's key file.
 */
accountRef: {
/**
 * Name of the account.
 */
name: string
}
/**
 * Image and defaults that stand behind what is written here, kept by a platform team. A run takes them as they are when it asks for its first pod, and keeps them: status.run.defaults shows them.
 */
runtimeRef?: {
/**
 * ClusterTrainingRuntime, or TrainingRuntime for one of the job's own namespace.
 */
kind: ("ClusterTrainingRuntime" | "TrainingRuntime")
/**
 * Name of the runtime.
 */
name: string
}
/**
 * The trainer that runs in the pod; exactly one of fineTune, tabular and custom.
 */
trainer: {
/**
 * A language model that is trained further, with TRL.
 */
fineTune?: {
/**
 * What is learned from: conversations or texts (SFT), texts alone (CPT), pairs of a preferred and a rejected answer (DPO, ORPO), or rewards for answers of its own (RLHF, by RLOO).
 */
method: ("SFT" | "CPT" | "DPO" | "ORPO" | "RLHF")
/**
 * The model to begin with.
 */
model: {
/**
 * Where it lies; file:// is a folder in the pod, as save_pretrained writes it, and hf:// the Hugging Face Hub, whose token is HF_TOKEN in spec.trainer.env.
 */
source: string
/**
 * Commit, branch or tag of a model at the Hub; main when absent. A commit never changes; where a branch has moved, a later attempt begins anew.
 */
revision?: string
/**
 * Type to compute in; auto is bfloat16 where the GPU has it, float16 on an older one, and float32 without one. Weights that are trained whole are kept in float32.
 */
dtype?: ("auto" | "bfloat16" | "float16" | "float32")
/**
 * Chat template in Jinja instead of the one of its tokenizer, with {% generation %} and {% endgeneration %} around the assistant's words; it is stored with the trained model.
 */
chatTemplate?: string
/**
 * Runs Python code that comes with the model. Not done when absent.
 */
trustRemoteCode?: boolean
}
/**
 * The rows; their format is recognised by the first.
 */
dataset: {
/**
 * Where they lie, as JSON, JSON lines, CSV or Parquet, the first three also with gzip; file:// is a path in the pod, s3:// a bucket, hf:// a file of a data set at the Hugging Face Hub, and https:// any server. What follows a '?' there is taken for a key; it is shown in no status, event or log.
 */
source: string
/**
 * Commit, branch or tag of a data set at the Hub; main when absent.
 */
revision?: string
/**
 * SHA-256 that the file must have, 64 hexadecimal digits in small letters; a file with another one is not trained on. Any when absent.
 */
sha256?: string
/**
 * Secret of the job's own namespace with the key of this bucket, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and where needed AWS_SESSION_TOKEN; its AWS_REGION and AWS_ENDPOINT_URL go before spec.storage.s3. The key in spec.trainer.env when absent.
 */
secretRef?: {
/**
 * Name of the Secret.
 */
name: string
}
/**
 * Share of the rows held out for evaluation, between 0 and 1, at least one row; 0.05 when absent. Rows that are equal are never on both sides.
 */
evalSplit?: string
/**
 * Seed of the split; 42 when absent.
 */
seed?: number
/**
 * Rows taken from the beginning; all when absent.
 */
maxSamples?: number
/**
 * Reads rows as they come instead of holding all of them, for SFT and CPT; parameters.maxSteps says how long. Not done when absent.
 */
streaming?: boolean
/**
 * With streaming: rows that are held at once, from which the next is drawn; 10000 when absent.
 */
shuffleBufferSize?: number
}
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
 * Trains an adapter of low rank instead of all weights.
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
 * What RLHF learns from, the sum of all that is named.
 */
reward?: {
/**
 * Functions of an answer.
 */
functions?: {
/**
 * Format: 1 where pattern is found in the answer. JSON: 1 where it is JSON. ExactMatch: 1 where it is the row's answer. Length: 1 at targetTokens, falling to 0 at none and at twice as many. EntryPoint: a function of the image.
 */
name: ("Format" | "JSON" | "ExactMatch" | "Length" | "EntryPoint")
/**
 * Regular expression, as Python's re has it.
 */
pattern?: string
/**
 * Tokens of an answer that is long enough.
 */
targetTokens?: number
/**
 * MODULE:FUNCTION in the image; it gets completions and the row's members by name, as TRL calls it, and gives a list of numbers.
 */
entryPoint?: string
/**
 * What it is multiplied by; 1 when absent.
 */
weight?: string
}[]
/**
 * A model that gives one number to a prompt with its answer.
 */
model?: {
/**
 * Folder of it, as for the model that is trained; one whose head was not trained is refused.
 */
source: string
/**
 * What its verdict is multiplied by; 1 when absent.
 */
weight?: string
}
}
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
/**
 * Callbacks of the image, called as transformers calls its own, in this order.
 */
callbacks?: {
/**
 * MODULE:CLASS in the image, a class that inherits from transformers.TrainerCallback and is made without arguments.
 */
entryPoint: string
}[]
}
/**
 * A model fitted to rows of a table.
 */
tabular?: {
/**
 * The model family and its task.
 */
modelType: ("xgboost_regression" | "xgboost_binary_classification" | "xgboost_multiclass_classification" | "lightgbm_regression" | "lightgbm_binary_classification" | "lightgbm_multiclass_classification" | "catboost_regression" | "catboost_binary_classification" | "catboost_multiclass_classification" | "random_forest_regression" | "random_forest_binary_classification" | "random_forest_multiclass_classification" | "svm_regression" | "svm_binary_classification" | "svm_multiclass_classification" | "keras_regression" | "keras_binary_classification" | "keras_multiclass_classification")
/**
 * The rows.
 */
dataset: {
/**
 * Where the file lies; its ending says whether it is Parquet (.parquet, .pq), Excel (.xlsx, .xls, .xlsm, .xlsb, .ods) or CSV (any other). file:// is a path in the pod, as a rule on the network volume, s3:// a bucket, hf:// a file of a data set at the Hugging Face Hub, and https:// any server. What follows a '?' there is taken for a key; it is shown in no status, event or log.
 */
source: string
/**
 * Commit, branch or tag of a data set at the Hub; main when absent.
 */
revision?: string
/**
 * SHA-256 that the file must have, 64 hexadecimal digits in small letters; a file with another one is not trained on. Any when absent.
 */
sha256?: string
/**
 * Secret of the job's own namespace with the key of this bucket, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and where needed AWS_SESSION_TOKEN; its AWS_REGION and AWS_ENDPOINT_URL go before spec.storage.s3. The key in spec.trainer.env when absent.
 */
secretRef?: {
/**
 * Name of the Secret.
 */
name: string
}
/**
 * Share of the rows held out for evaluation, between 0 and 1; stratified by target in a classification. They choose the best step.
 */
evalSplit: string
/**
 * Share of the rows that nothing is chosen by and that the result is measured on; with 0 it is measured on the rows of evalSplit.
 */
testSplit: string
/**
 * Seed of the split; the same seed holds out the same rows.
 */
seed: number
/**
 * Cross-validates the result: for each of so many folds of the training and evaluation rows, a model with the same parameters and rounds is trained on the others and measured on it. Stratified by target in a classification. None when absent.
 */
folds?: number
}
/**
 * Name of the column to predict. A regression needs numbers; a classification takes texts, whole numbers, or false and true, and of two classes the second in order is the positive one.
 */
target: string
/**
 * Names of the columns to learn from; every column but the target when absent.
 */
features?: string[]
/**
 * Names of the columns not to learn from, instead of features; every other column but the target is one.
 */
excludeFeatures?: string[]
/**
 * How columns become numbers. All that it learns, it learns from the training rows.
 */
preprocessing: {
/**
 * What takes the place of a missing value; a text or truth value has no mean and gets the most frequent one. Drop leaves its row out, Native leaves it to xgboost, lightgbm and catboost.
 */
imputing: ("Mean" | "Median" | "MostFrequent" | "Constant" | "Drop" | "Native")
/**
 * What takes the place with Constant; a number where a column holds numbers.
 */
fillValue?: string
/**
 * How texts become numbers: a column for each (OneHot), their place in order (Ordinal), or as the library does it (Native). Auto is Native for lightgbm and catboost and OneHot for the others.
 */
encoding: ("Auto" | "OneHot" | "Ordinal" | "Native")
/**
 * How numbers are scaled. Auto is Standard for svm and keras and None for the others.
 */
scaling: ("Auto" | "None" | "Standard" | "MinMax" | "Robust")
/**
 * Types of columns that are not to be judged by their first 10,000 rows.
 */
columnTypes?: {
/**
 * Name of the column.
 */
name: string
/**
 * What it holds.
 */
type: ("Numeric" | "Categorical" | "Boolean" | "Date")
}[]
}
/**
 * With Balanced, rows weigh so that all classes weigh the same in training; evaluations are not weighted.
 */
classWeight: ("None" | "Balanced")
/**
 * Formats that the model is stored in besides its library's own. ONNX is stored as model.onnx, when onnxruntime predicts the same for the rows that the result is measured on; otherwise an alert ExportFailed says why not.
 */
export?: ("ONNX")[]
/**
 * Searches parameters by Optuna inside the pod. A step is a trial, which trains one model with other parameters; the best one's model is the result. evaluation.everySteps counts rounds of a trial then, and earlyStopping ends single trials.
 */
search?: {
/**
 * How the parameters of a trial are chosen: TPE learns from the trials before, Random does not, Grid goes through all combinations of space.
 */
sampler: ("TPE" | "Random" | "Grid")
/**
 * Trials of the search, pruned and failed ones among them; a grid with fewer combinations has as many as those.
 */
trials: number
/**
 * No trial begins when those before took this long, over all attempts; one that has begun is finished. No limit when absent.
 */
timeoutSeconds?: number
/**
 * What ends a trial early that is worse than others were at the same evaluation. Auto is Median, for random_forest and svm None.
 */
pruner: ("Auto" | "None" | "Median" | "SuccessiveHalving")
/**
 * Seed of the sampler; the same seed gives the same trials.
 */
seed: number
/**
 * Where single parameters are looked for, instead of the family's own ranges, which docs/tabular.md lists; a parameter that spec.trainer.tabular.parameters names is not searched.
 */
space?: {
/**
 * Name of the parameter in spec.trainer.tabular.parameters.
 */
name: ("nEstimators" | "maxDepth" | "learningRate" | "subsample" | "colsampleBytree" | "minChildWeight" | "gamma" | "regAlpha" | "regLambda" | "numLeaves" | "featureFraction" | "baggingFraction" | "baggingFreq" | "minDataInLeaf" | "minGainToSplit" | "lambdaL1" | "lambdaL2" | "iterations" | "depth" | "l2LeafReg" | "bootstrapType" | "rsm" | "borderCount" | "randomStrength" | "minSamplesSplit" | "minSamplesLeaf" | "maxFeatures" | "bootstrap" | "c" | "kernel" | "degree" | "coef0" | "epsilon" | "tol" | "optimizer" | "learningRateSchedule" | "weightDecay" | "momentum" | "batchSize" | "epochs")
/**
 * Least value; a whole number, or a decimal string such as "0.01".
 */
low?: (number | string)
/**
 * Greatest value, included.
 */
high?: (number | string)
/**
 * Stride from low on; any number, or any whole number, between low and high when absent.
 */
step?: (number | string)
/**
 * Whether values are chosen evenly by their logarithm, as for a learning rate.
 */
log: boolean
/**
 * Values to choose from, instead of low and high.
 */
choices?: (number | string)[]
}[]
}
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
 * Any trainer; the operator's agent starts this command and reports what it says through report().
 */
custom?: {
/**
 * Image whose entry point is the agent (trainingjob agent); the operator's own trainer image when absent.
 */
image?: string
/**
 * Program and first arguments, run without a shell.
 */
command: string[]
/**
 * Further arguments.
 */
args?: string[]
}
/**
 * Environment of the trainer; it travels from the operator to the agent and is never visible at Runpod.
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
 * The hardware to rent.
 */
compute: {
/**
 * Tried in this order until one can be had.
 */
candidates: {
/**
 * Name of the candidate, shown in status.
 */
name: string
/**
 * A GPU pod.
 */
gpu?: {
/**
 * GPU type as Runpod's catalog names it, such as NVIDIA H100 80GB HBM3.
 */
type: string
/**
 * GPUs in the pod.
 */
count: number
}
/**
 * A CPU pod.
 */
cpu?: {
/**
 * CPU flavor as Runpod's catalog names it, such as cpu3c.
 */
flavor: string
/**
 * Virtual CPUs.
 */
vcpus: (2 | 4 | 8 | 16 | 32 | 64)
}
/**
 * Runpod's own data centers (Secure) or hosts of others (Community).
 */
cloud: ("Secure" | "Community")
/**
 * Data centers that will do; any when absent. A pod that comes up elsewhere is ended.
 */
dataCenters?: string[]
/**
 * Most that the whole pod may cost in USD per hour; a pod that is charged more is ended.
 */
maxPricePerHour?: string
}[]
/**
 * Lowest CUDA version of the host, for GPU candidates.
 */
minCudaVersion?: string
/**
 * Disk of the container in GB; wiped when the container restarts. Default: 20.
 */
containerDiskGB?: number
/**
 * A Runpod network volume that keeps what is stored on it; the pod is placed in its data center.
 */
networkVolume?: {
/**
 * Id of the volume at Runpod.
 */
id: string
/**
 * Where the pod sees it.
 */
mountPath: string
}
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
 * Where checkpoints go and how many stay.
 */
checkpoints?: {
/**
 * Folder for checkpoints; a path of the run is added below it.
 */
uri: string
/**
 * Secret of the job's own namespace with the key of this bucket, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and where needed AWS_SESSION_TOKEN; its AWS_REGION and AWS_ENDPOINT_URL go before spec.storage.s3. The key in spec.trainer.env when absent.
 */
secretRef?: {
/**
 * Name of the Secret.
 */
name: string
}
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
 * Where the trained model goes.
 */
output?: {
/**
 * Folder for the model, its metrics and manifest; a path of the run is added below it.
 */
uri: string
/**
 * Secret of the job's own namespace with the key of this bucket, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and where needed AWS_SESSION_TOKEN; its AWS_REGION and AWS_ENDPOINT_URL go before spec.storage.s3. The key in spec.trainer.env when absent.
 */
secretRef?: {
/**
 * Name of the Secret.
 */
name: string
}
/**
 * Which weights a fineTune job stores: those of the best step by score, or of the last. Best when absent.
 */
weights?: ("Best" | "Last")
/**
 * Whether the adapter of a fineTune job is merged into its model, which then needs nothing else; true when absent.
 */
merge?: boolean
/**
 * A repository of the Hugging Face Hub to which the model of a fineTune job is published as well, once it is stored and verified; made when it is not there.
 */
huggingFace?: {
/**
 * The repository, OWNER/NAME; each run that succeeds is one commit on main.
 */
repo: string
/**
 * Whether only those see it whom its owner lets. A repository that is there and is otherwise is refused before the training.
 */
private: boolean
/**
 * Secret of the job's own namespace with a token that may write to the repository, HF_TOKEN. The HF_TOKEN in spec.trainer.env when absent.
 */
secretRef?: {
/**
 * Name of the Secret.
 */
name: string
}
}
}
/**
 * How buckets are reached, for s3:// addresses; their keys come from the secretRef beside each address, or from spec.trainer.env.
 */
storage?: {
/**
 * A server that speaks S3; Amazon's when absent.
 */
s3?: {
/**
 * Address of the server.
 */
endpoint?: string
/**
 * Region of the buckets.
 */
region?: string
/**
 * The bucket is part of the path and not of the host name, as many servers besides Amazon want it.
 */
pathStyle: boolean
}
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
 * Ends a run of fineTune or tabular that gets no better, with its best step as the result; absent, all steps are done.
 */
earlyStopping?: {
/**
 * Evaluations in a row without anything better after which the run ends.
 */
patience: number
/**
 * By how much a score must be lower, or a metric better, to count.
 */
minDelta: string
/**
 * A metric of the evaluations that is looked at instead of the score.
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
 * Seconds after the end until this object is deleted; what it stored stays. Never when absent.
 */
ttlSecondsAfterFinished?: number
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
 * Money.
 */
budget?: {
/**
 * Most that the job may cost in USD; it is stopped with a checkpoint before that and fails with BudgetExceeded.
 */
maxTotal: string
}
/**
 * How reports, configuration and commands travel between pod and operator.
 */
telemetry?: {
/**
 * Push: the pod calls the operator's public address. Pull: the operator calls the pod through Runpod's proxy, and needs no address. The operator's setting TELEMETRY_TRANSPORT when absent; taken by the next attempt.
 */
transport: ("Push" | "Pull")
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

/**
 * What the operator knows.
 */
export interface TrainingJobStatus {
/**
 * Generation of the spec that this status answers to.
 */
observedGeneration?: number
/**
 * One word for people; programs read conditions.
 */
phase?: ("Pending" | "Placing" | "Provisioning" | "Running" | "Checkpointing" | "Recovering" | "Suspended" | "Terminating" | "Succeeded" | "Failed")
/**
 * When the operator took the run up.
 */
startTime?: string
/**
 * When the job was over and its pod proved gone.
 */
completionTime?: string
conditions?: {
type: string
status: ("True" | "False" | "Unknown")
reason: string
message: string
observedGeneration?: number
lastTransitionTime: string
}[]
/**
 * The run that the job is pinned to.
 */
run?: {
/**
 * Number of the run; storage paths end in it.
 */
number: number
/**
 * SHA-256 of what spec itself asks of the trainer.
 */
specHash: string
/**
 * spec.restartToken of this run.
 */
restartToken?: string
/**
 * The runtime that its defaults came from; absent without one.
 */
runtime?: {
kind: string
name: string
generation: number
}
/**
 * SHA-256 of the spec of that runtime.
 */
runtimeHash?: string
/**
 * What stands where spec says nothing: the words of the runtime, and where it has none, the operator's own. In the form of a runtime's spec. Kept from the run's first attempt to its end.
 */
defaults?: {

}
/**
 * Number of the first attempt that may belong to it.
 */
firstAttempt?: number
/**
 * Seconds that its attempts ran, but for the present one.
 */
activeSeconds?: number
}
/**
 * Attempts of the run that ended in a fault and were tried again, by whose fault it was.
 */
retries?: {
/**
 * Counted against runPolicy.backoffLimit.
 */
user: number
/**
 * Counted against runPolicy.hostFaultLimit.
 */
host: number
/**
 * Counted against runPolicy.interruptionLimit.
 */
interruption: number
}
/**
 * Until when the next attempt waits.
 */
retryTime?: string
/**
 * Since when the job is suspended; absent when it is not.
 */
suspendTime?: string
/**
 * When it was last resumed.
 */
resumeTime?: string
/**
 * How the run ended; decided once, while its pod may still be ending.
 */
outcome?: {
result: ("Succeeded" | "Failed")
reason: string
message?: string
time: string
}
/**
 * The data as the trainer found it.
 */
dataset?: {
samples?: number
trainSamples?: number
evalSamples?: number
/**
 * Tokens of the rows to train on, once through.
 */
tokens?: number
/**
 * How many of them count in the loss.
 */
trainedTokens?: number
/**
 * Of a table, before any is left out.
 */
rows?: number
/**
 * Of a table, the target and those that are not used included.
 */
columns?: number
/**
 * Of the file.
 */
sha256?: string
/**
 * Commit of a data set at the Hub.
 */
revision?: string
}
/**
 * How far the training is; unknown parts are absent.
 */
progress?: {
step?: number
totalSteps?: number
percentage?: number
epoch?: string
stage?: string
/**
 * The interval really used.
 */
evaluationEverySteps?: number
nextEvaluationStep?: number
estimatedRemainingSeconds?: number
confidence?: ("Low" | "Medium" | "High")
/**
 * Processes that train together.
 */
processes?: number
/**
 * Rows of one step, of all processes.
 */
samplesPerStep?: number
lossTrend?: string
lastReportTime?: string
/**
 * Batches taken from the trainer.
 */
sequence?: number
}
/**
 * Newest value of each metric.
 */
metrics?: {
name: string
value: string
step: number
best?: string
bestStep?: number
}[]
/**
 * The best step so far.
 */
best?: {
step: number
epoch?: string
/**
 * Lower is better.
 */
score: string
evalLoss?: string
trainLoss?: string
trainLossStep?: number
scorerVersion: number
components?: {
[k: string]: string
}
/**
 * Its weights; absent until they were read back and compared.
 */
uri?: string
manifestSHA256?: string
verified: boolean
}
/**
 * Evaluations since the best one.
 */
evalsSinceBest?: number
/**
 * The search of a tabular job with spec.trainer.tabular.search; its steps are its trials.
 */
search?: {
/**
 * Trials of the whole search.
 */
trials: number
/**
 * Trials that gave a model.
 */
complete: number
/**
 * Trials that the pruner ended.
 */
pruned: number
/**
 * Trials that failed or diverged; each is told by an alert TrialFailed.
 */
failed: number
/**
 * The trial that is the best step.
 */
bestTrial?: number
/**
 * What the search chose for it.
 */
bestParameters?: {
[k: string]: string
}
}
/**
 * What the trainer said beside its numbers, such as EarlyStopped or BatchHalved; the last ones of this run, each also an event.
 */
alerts?: {
/**
 * Attempt whose trainer said it.
 */
attempt: number
name: string
severity: ("Info" | "Warning" | "Error")
message: string
/**
 * When it was reported.
 */
time: string
}[]
/**
 * The newest attempt to have a pod.
 */
attempt?: {
number: number
nonce: string
podName: string
candidate: string
/**
 * Intent: to be asked for. Unknown: asked for, answer lost. Refused: Runpod said no. Observed: there. Gone: proved gone. Abandoned: never appeared.
 */
state: ("Intent" | "Unknown" | "Refused" | "Observed" | "Gone" | "Abandoned")
/**
 * Account that the pod is rented in.
 */
account: string
intentTime: string
/**
 * When the create was sent.
 */
createTime?: string
podID?: string
/**
 * Who calls whom: the pod the operator (Push), or the operator the pod (Pull).
 */
transport?: ("Push" | "Pull")
tokenKeyID?: string
instance?: string
gpuType?: string
dataCenter?: string
/**
 * Rate really charged, USD.
 */
pricePerHour?: string
/**
 * When Runpod created the pod.
 */
billedFrom?: string
/**
 * When the pod was deleted.
 */
billedTo?: string
/**
 * First contact of the trainer.
 */
connectedTime?: string
trainerVersion?: string
/**
 * Whether the pod's own key works, so that it can end itself without the operator.
 */
deadMan?: ("Armed" | "Unarmed")
/**
 * Step of the checkpoint that the trainer went on from; 0: from the start, as no checkpoint was good.
 */
resumedFromStep?: number
/**
 * What the pod's log said last, read before the pod was ended; it moves to attempts with the attempt's end.
 */
containerLog?: string[]
/**
 * The trainer was asked for a checkpoint, after which its pod is to be ended.
 */
checkpointing?: {
time: string
}
/**
 * Why the trainer was asked to stop with a checkpoint.
 */
stop?: {
reason: string
message: string
time: string
}
/**
 * Why the pod is to be ended.
 */
end?: {
reason: string
message: string
time: string
/**
 * Whose fault it was, where the attempt is to be tried again.
 */
fault?: ("User" | "Host" | "Interruption")
}
}
/**
 * Ledger of the run's attempts that had, or may have had, a pod; the last 20.
 */
attempts?: {
number: number
podName: string
podID?: string
candidate: string
account?: string
instance?: string
dataCenter?: string
pricePerHour?: string
cost?: string
startTime?: string
endTime?: string
/**
 * Seconds from its trainer's first contact to its end.
 */
activeSeconds?: number
firstStep?: number
lastStep?: number
reason: string
message?: string
exitCode?: number
logTail?: string[]
/**
 * Who told logTail. Agent: the trainer's own words. Container: Runpod's log of the pod, as no final report came; lines of the host begin with system.
 */
logSource?: ("Agent" | "Container")
}[]
/**
 * What Runpod refused so far.
 */
placement?: {
refusals?: {
candidate: string
class: ("NoCapacity" | "PriceAboveCap" | "WrongPlace" | "Invalid" | "Balance" | "Forbidden" | "RateLimited" | "Unauthorized" | "Unclassified")
message?: string
count: number
/**
 * Generation of the spec that was refused.
 */
generation?: number
lastTime: string
retryTime?: string
}[]
}
/**
 * Money in USD.
 */
cost?: {
accrued: string
/**
 * Part of it that attempts cost which status.attempts no longer lists, earlier runs included.
 */
earlier?: string
remaining?: string
asOf: string
}
/**
 * The newest checkpoint.
 */
checkpoint?: {
step: number
uri: string
manifestSHA256?: string
verified: boolean
time: string
}
/**
 * Why the job failed.
 */
failure?: {
reason: string
message: string
exitCode?: number
attempt?: number
}
/**
 * Where the trained model is.
 */
output?: {
uri: string
manifestSHA256?: string
/**
 * Commit at the Hugging Face Hub that holds the same files; compared with the manifest.
 */
huggingFaceRevision?: string
/**
 * Address of its repository.
 */
huggingFaceURL?: string
}
}
