#!/usr/bin/env bash
# Installs what page.mjs needs and this machine lacks: Chromium, Node.js, and the packages beside this file.
set -euo pipefail
cd "$(dirname "$0")"

if ! command -v "${CHROMIUM:-chromium}" >/dev/null || ! command -v npm >/dev/null; then
    apt-get update -q
    command -v "${CHROMIUM:-chromium}" >/dev/null || apt-get install -yq --no-install-recommends chromium
    command -v npm >/dev/null || apt-get install -yq --no-install-recommends nodejs npm
fi
npm install --no-package-lock --no-audit --no-fund --loglevel error
