#!/usr/bin/env bash
# The exact commands that made the bundled models, and the measures on their cards.
#
#   bash recipes.sh PHOTOGRAPHS MNIST TEST_PICTURES OUT [SCORES]
#
# PHOTOGRAPHS: a folder with the ss03 photographs of BIQ2021 (2,100 from Unsplash); MNIST: mnist.npz with x_train and
# x_test; TEST_PICTURES: a folder with the 24 Kodak crops. Each run ends in OUT/NAME; about ten minutes each on two cores.
set -euo pipefail
photographs=$1 mnist=$2 tests=$3 out=$4
train() { python -m deconv_core train --out "$out/$1" --name "$1" "${@:2}"; }
photo=(--data "$photographs" --include 'ss03_*.jpg' --architecture photo --argument rectified=1
    --steps-per-epoch 400 --note '2,100 photographs from Unsplash (the ss03 part of BIQ2021)')

train grey_denoise "${photo[@]}" --label 'Grey denoiser (for the deconvolution score)' --argument channels=1 \
    --objective restore --degradations white_noise:3 --epochs 15
train photo_large "${photo[@]}" --label 'Photographs, large code' --argument code_channels=48 --epochs 15
train article --data "$mnist" --architecture article --label 'Introductory network (digits)' --note 'MNIST, 60,000 digits'
train photo_small "${photo[@]}" --label 'Photographs, small code' \
    --argument code_channels=12 --argument decoder=transposed --epochs 12
# Wider, without a ReLU at the end of its blocks, straight from the principal components; then in three shorter turns for
# least squares, nearer and nearer to what restoration is measured with. The resampling of DISTORTIONS blurs before it
# reduces, which taught the wrong inverse of a bicubic reduction; hence `bicubic`.
restore() { train "$1" --data "$photographs" --include 'ss03_*.jpg' --architecture photo --steps-per-epoch 400 \
    --argument width=48 --argument deep_width=96 --argument code_channels=64 --objective restore --precision bfloat16 \
    --label 'Photographs, trained to restore' --note '2,100 photographs from Unsplash (the ss03 part of BIQ2021)' "${@:2}"; }
after() { echo "$out/$1/results/$1.keras"; }
restore photo_restore_1 --epochs 32 --learning-rate 2e-3 \
    --degradations white_noise:1.5-4,jpeg:2-5,gaussian_blur:1-3,resampling:1-3
restore photo_restore_2 --start-from "$(after photo_restore_1)" --epochs 16 --learning-rate 8e-4 --loss mse --seed 1 \
    --degradations white_noise:2-4,jpeg:3-5,gaussian_blur:1.5-3,resampling:1.3-2.6
restore photo_restore_3 --start-from "$(after photo_restore_2)" --epochs 7 --learning-rate 6e-4 --loss mse --seed 2 \
    --degradations white_noise:2.5-4,jpeg:3.5-5,gaussian_blur:1.8-3,bicubic:1.8-2.2
restore photo_restore --start-from "$(after photo_restore_3)" --epochs 5 --learning-rate 5e-4 --loss mse --seed 3 \
    --degradations white_noise:3-3.7,jpeg:4.3-5,gaussian_blur:2.2-2.8,bicubic:2

# For deconv_quality: trained on four fifths of the photographs alone, so that the last fifth measures it honestly. SCORES
# is BIQ2021's table (image, subset, mos), its photographs lie in PHOTOGRAPHS.
if [ -n "${5:-}" ]; then
    here=$(cd "$(dirname "$0")/../../.." && pwd)
    python "$here/benchmarks/quality.py" split "$5" "$photographs" --out "$out/folds.csv" --list "$out/train.csv"
    train quality_restore --data "$out/train.csv" --label 'Photographs, for the score without a reference' \
        --architecture photo --argument rectified=1 --argument code_channels=48 --objective restore \
        --degradations white_noise:0.5-4,jpeg:0.5-5,gaussian_blur:0-3 --precision bfloat16 --steps-per-epoch 200 \
        --epochs 36 --note '1,680 photographs from Unsplash (the ss03 part of BIQ2021, four fifths of it)'
    # Its calibration: python benchmarks/quality.py features, calibrate and laws.
fi

measure() { python -m deconv_core models measure "$out/$1/results/$1.keras" --data "$2" --data-name "$3"; }
for name in grey_denoise photo_large photo_small photo_restore; do
    measure "$name" "$tests" 'Kodak, 24 crops'
done
measure article digits 'digits drawn here, 1,000'
