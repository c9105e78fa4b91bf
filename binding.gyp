# The same build as CMakeLists.txt, for machines without CMake: CPU kernels once per instruction set.
{
  "variables": {
    "kernels": ["<!@(node -p \"require('fs').readdirSync('native/cpu').filter(f => f.endsWith('.cc') && !/^(device|pool)\\.cc$/.test(f)).map(f => 'native/cpu/' + f).join(' ')\")"],
    "common": ["-std=gnu++20", "-O3", "-fPIC", "-fvisibility=hidden", "-Wno-psabi", "-fno-math-errno", "-fno-trapping-math"],
  },
  "target_defaults": {
    "cflags_cc!": ["-fno-exceptions", "-fno-rtti", "-std=gnu++17", "-std=gnu++20", "-O2"],
    "cflags!": ["-fno-exceptions"],
    "cflags_cc": ["<@(common)"],
    "xcode_settings": { "GCC_ENABLE_CPP_EXCEPTIONS": "YES", "CLANG_CXX_LANGUAGE_STANDARD": "gnu++20", "OTHER_CPLUSPLUSFLAGS": ["<@(common)"] },
  },
  "targets": [
    { "target_name": "kernels_baseline", "type": "static_library", "sources": ["<@(kernels)"], "defines": ["RESCUNET_ISA=baseline"] },
    {
      "target_name": "rescunet",
      "sources": ["native/addon.cc", "native/program.cc", "native/cpu/device.cc", "native/cpu/pool.cc"],
      "include_dirs": ["<!@(node -p \"require('node-addon-api').include\")"],
      "defines": ["NAPI_VERSION=8", "NAPI_CPP_EXCEPTIONS"],
      "dependencies": ["kernels_baseline"],
      "libraries": ["-lpthread"],
      "conditions": [
        ["target_arch=='x64'", {
          "defines": ["RESCUNET_HAVE_AVX2", "RESCUNET_HAVE_AVX512"],
          "dependencies": ["kernels_avx2", "kernels_avx512"],
        }],
      ],
    },
  ],
  "conditions": [
    ["target_arch=='x64'", {
      "targets": [
        {
          "target_name": "kernels_avx2", "type": "static_library", "sources": ["<@(kernels)"],
          "defines": ["RESCUNET_ISA=avx2"], "cflags_cc": ["-mavx2", "-mfma", "-mbmi2"],
          "xcode_settings": { "OTHER_CPLUSPLUSFLAGS": ["-mavx2", "-mfma", "-mbmi2"] },
        },
        {
          "target_name": "kernels_avx512", "type": "static_library", "sources": ["<@(kernels)"],
          "defines": ["RESCUNET_ISA=avx512"],
          "cflags_cc": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma", "-mbmi2", "-mprefer-vector-width=512"],
          "xcode_settings": { "OTHER_CPLUSPLUSFLAGS": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma", "-mbmi2"] },
        },
      ],
    }],
  ],
}
