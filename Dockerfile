# wkconvert with all its readers:
#   docker build -t wkconvert .
#   docker run --rm -u "$(id -u)" -v "$PWD:/data" wkconvert wkconvert auto my_stack my_dataset
FROM python:3.13-slim AS build
WORKDIR /src
COPY . .
RUN python -m venv /opt/wkconvert \
    && /opt/wkconvert/bin/pip install --no-cache-dir --constraint constraints.txt \
        ".[upload]" "./packages/wkconvert_images[tiff]" ./plugins/wkconvert_bioio ./plugins/wkconvert_dm \
        ./plugins/wkconvert_hdf5 ./plugins/wkconvert_itk ./plugins/wkconvert_knossos ./plugins/wkconvert_mrc \
        ./plugins/wkconvert_ncem ./plugins/wkconvert_nifti ./plugins/wkconvert_tiff ./plugins/wkconvert_tiles \
        ./plugins/wkconvert_zarr

FROM python:3.13-slim
RUN useradd --create-home --uid 1000 wkconvert
COPY --from=build /opt/wkconvert /opt/wkconvert
ENV PATH=/opt/wkconvert/bin:$PATH
USER 1000
WORKDIR /data
CMD ["wkconvert", "--help"]
