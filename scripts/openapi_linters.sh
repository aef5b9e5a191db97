#!/bin/sh
# What others make of the OpenAPI document: linters and generators that need Node 20, installed into a temporary folder.
# From the root of the repository: scripts/openapi_linters.sh; `make check` and the tests do what needs no Node.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
.venv/bin/python scripts/openapi_document.py "$folder/openapi.json"
cd "$folder"
npm init --yes > /dev/null
npm install --silent --no-audit --no-fund @redocly/cli@2.77.0 @stoplight/spectral-cli@6.16.3 openapi-typescript@7.13.0 @hey-api/openapi-ts@0.95.0 typescript@5.9.3
npx redocly lint --format=summary openapi.json
echo 'extends: ["spectral:oas"]' > .spectral.yaml
npx spectral lint --fail-severity=error openapi.json
npx openapi-typescript openapi.json -o types/schema.d.ts
npx tsc --strict --noEmit --target es2022 --module nodenext --moduleResolution nodenext types/schema.d.ts
npx openapi-ts -i openapi.json -o client
npx tsc --strict --noEmit --target es2022 --lib es2022,dom,dom.iterable --module esnext --moduleResolution bundler client/*.ts
echo "0 errors by redocly and spectral; what openapi-typescript and @hey-api/openapi-ts make of it compiles under --strict"
